package sdk;

import io.cloudevents.CloudEvent;
import io.cloudevents.core.builder.CloudEventBuilder;
import io.cloudevents.core.message.Encoding;
import io.cloudevents.http.HttpMessageFactory;
import io.cloudevents.jackson.JsonFormat;
import io.cloudevents.kafka.CloudEventSerializer;
import java.io.ByteArrayOutputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.time.OffsetDateTime;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Sends every shape of event in every mode of the Java SDK, twice each, and prints each result.
 *
 * <p>Environment: WEIR_URL, WEIR_TOKEN, WEIR_KAFKA.
 */
public final class Sender {
  private static final List<String> SHAPES = List.of("json", "none", "text", "bytes", "names");
  private static final HttpClient CLIENT = HttpClient.newHttpClient();

  private Sender() {}

  private static CloudEventBuilder event(String id, String shape) {
    CloudEventBuilder event =
        CloudEventBuilder.v1()
            .withId(id)
            .withSource(URI.create("/sdk/java"))
            .withType("com.example.order.placed")
            .withTime(OffsetDateTime.parse("2026-01-05T08:00:00Z"));
    return switch (shape) {
      case "json" -> event.withData("application/json", utf8("{\"a\":1,\"b\":null}"));
      case "none" -> event;
      case "text" -> event.withData("text/plain", utf8("hello"));
      case "bytes" -> event.withData("application/octet-stream", new byte[] {0, (byte) 255});
      default ->
          event
              .withSubject("a b \u00fc")
              .withExtension("partitionkey", "k")
              .withData("application/json", utf8("{\"c\":\"\u00fc\"}"));
    };
  }

  private static byte[] utf8(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  private static String post(CloudEvent event, Encoding mode) throws Exception {
    HttpRequest.Builder request =
        HttpRequest.newBuilder(URI.create(System.getenv("WEIR_URL")))
            .header("Authorization", "Bearer " + System.getenv("WEIR_TOKEN"));
    ByteArrayOutputStream body = new ByteArrayOutputStream();
    var writer = HttpMessageFactory.createWriter(request::header, bytes -> body.writeBytes(bytes == null ? new byte[0] : bytes));
    if (mode == Encoding.BINARY) {
      writer.writeBinary(event);
    } else {
      writer.writeStructured(event, JsonFormat.CONTENT_TYPE);
    }
    request.POST(HttpRequest.BodyPublishers.ofByteArray(body.toByteArray()));
    HttpResponse<String> answer = CLIENT.send(request.build(), HttpResponse.BodyHandlers.ofString());
    return answer.statusCode() == 202 ? "202" : answer.statusCode() + " " + answer.body();
  }

  private static KafkaProducer<String, CloudEvent> producer(Encoding mode) {
    return new KafkaProducer<>(
        Map.of(
            "bootstrap.servers", System.getenv("WEIR_KAFKA"),
            "key.serializer", StringSerializer.class,
            "value.serializer", CloudEventSerializer.class,
            CloudEventSerializer.ENCODING_CONFIG, mode,
            CloudEventSerializer.EVENT_FORMAT_CONFIG, JsonFormat.CONTENT_TYPE));
  }

  /** Sends everything. */
  public static void main(String[] arguments) throws Exception {
    for (Encoding mode : List.of(Encoding.BINARY, Encoding.STRUCTURED)) {
      String name = mode == Encoding.BINARY ? "binary" : "structured";
      try (KafkaProducer<String, CloudEvent> producer = producer(mode)) {
        for (String shape : SHAPES) {
          CloudEvent overHttp = event("http-" + name + "-" + shape, shape).build();
          CloudEvent overKafka =
              event("kafka-" + name + "-" + shape, shape).withExtension("tenantid", "acme").build();
          for (int time = 0; time < 2; time++) {
            System.out.println("http " + name + " " + shape + " " + post(overHttp, mode));
            producer.send(new ProducerRecord<>("weir.activity.v1", overKafka)).get();
            System.out.println("kafka " + name + " " + shape + " sent");
          }
        }
      }
    }
  }
}
