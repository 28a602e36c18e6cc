// Sends with the CloudEvents SDK of Go as its documentation shows it.
//
// Usage: sender URL; the key stands in WEIR_TOKEN. Prints a line of JSON for each cell: what the gateway answered.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
)

type sent struct {
	name, contentType, subject string
	data                       interface{}
}

func main() {
	client, err := cloudevents.NewClientHTTP(
		cehttp.WithTarget(os.Args[1]),
		cehttp.WithHeader("Authorization", "Bearer "+os.Getenv("WEIR_TOKEN")),
	)
	if err != nil {
		panic(err)
	}
	cases := []sent{
		{"object", cloudevents.ApplicationJSON, "", map[string]interface{}{"a": 1, "b": "ü"}},
		{"nothing", "", "", nil},
		{"text", cloudevents.TextPlain, "", "plain words"},
		{"bytes", "application/octet-stream", "", []byte{0, 255}},
		{"attributes", cloudevents.ApplicationJSON, `a b ü %41 "quoted"`, map[string]string{"b": "ü"}},
	}
	for _, one := range cases {
		for _, mode := range []string{"binary", "structured"} {
			event := cloudevents.NewEvent()
			event.SetID(one.name + "-" + mode)
			event.SetSource("/sdk/go")
			event.SetType("com.example.sent")
			event.SetTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
			if one.subject != "" {
				event.SetSubject(one.subject)
				event.SetExtension("partitionkey", "k")
			}
			if one.data != nil {
				if err := event.SetData(one.contentType, one.data); err != nil {
					panic(err)
				}
			}
			way := cloudevents.WithEncodingStructured
			if mode == "binary" {
				way = cloudevents.WithEncodingBinary
			}
			for turn := 1; turn <= 2; turn++ {
				result := client.Send(way(context.Background()), event)
				status := 0
				var answered *cehttp.Result
				if cloudevents.ResultAs(result, &answered) {
					status = answered.StatusCode
				}
				line, _ := json.Marshal(map[string]interface{}{
					"sdk": "go", "way": "http", "case": one.name, "mode": mode, "turn": turn, "status": status,
					"answer": fmt.Sprint(result),
				})
				fmt.Println(string(line))
			}
		}
	}
}
