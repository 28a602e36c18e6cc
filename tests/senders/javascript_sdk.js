// Sends with the CloudEvents SDK of JavaScript as its documentation shows it.
//
// Usage: node javascript_sdk.js URL; the key stands in WEIR_TOKEN. Prints a line of JSON for each cell: what the gateway answered, or the Kafka
// message that the SDK makes.

const { CloudEvent, HTTP, Kafka } = require("cloudevents");

const [url, token] = [process.argv[2], process.env.WEIR_TOKEN];
const cases = [
  ["object", { a: 1, b: "ü" }, {}],
  ["nothing", undefined, {}],
  ["text", "plain words", { datacontenttype: "text/plain" }],
  ["bytes", new Uint8Array([0, 255]), { datacontenttype: "application/octet-stream" }],
  ["attributes", { b: "ü" }, { subject: 'a b ü %41 "quoted"', partitionkey: "k", dataschema: "https://example.com/s" }],
];

function told(cell) {
  console.log(JSON.stringify({ sdk: "javascript", ...cell }));
}

async function posted({ headers, body }) {
  const answer = await fetch(url, { method: "POST", headers: { ...headers, authorization: `Bearer ${token}` }, body });
  return { status: answer.status, answer: await answer.text() };
}

function bytes(value) {
  if (value === undefined || value === null) return null;
  return Buffer.from(typeof value === "string" || value instanceof Uint8Array ? value : JSON.stringify(value)).toString("base64");
}

async function main() {
  for (const [name, data, more] of cases) {
    for (const mode of ["binary", "structured"]) {
      const attributes = { type: "com.example.sent", source: "/sdk/javascript", id: `${name}-${mode}`, ...more };
      const event = new CloudEvent({ ...attributes, data });
      for (const turn of [1, 2]) {
        try {
          told({ way: "http", case: name, mode, turn, ...(await posted(HTTP[mode](event))) });
        } catch (error) {
          // fetch refuses header values that are no Latin-1 before anything is sent.
          told({ way: "http", case: name, mode, turn, unsent: String(error) });
        }
      }
      const message = Kafka[mode](new CloudEvent({ ...attributes, id: `${name}-${mode}-kafka`, tenantid: "acme", data }));
      // Clients of Kafka leave out what is undefined.
      const set = Object.entries(message.headers).filter(([, value]) => value !== undefined);
      const headers = set.map(([key, value]) => [key, String(value)]);
      told({ way: "kafka", case: name, mode, headers, value: bytes(message.value) });
    }
  }
}

main();
