package event_test

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/safebox/safebox/worker/event"
)

func ExampleDecode() {
	ev, err := event.Decode([]byte(`{
		"specversion": "1.0", "id": "1", "source": "/till", "type": "safebox.funds.debited.v1",
		"subject": "npub10elfcs4fr0l0r8af98jlmgdh9c8tcxjvz9qkw038js35mp4dma8qzvjptg",
		"data": {"memo": "tea", "fee": 0, "amount": 21}
	}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(string(ev.Data))
	fmt.Println(event.Partition(ev.Subject))
	// Output:
	// {"amount":21,"memo":"tea"}
	// 4
}

func ExampleDecode_refused() {
	_, err := event.Decode([]byte(`{
		"specversion": "1.0", "id": "1", "source": "/till", "type": "safebox.funds.debited.v1",
		"subject": "npub10elfcs4fr0l0r8af98jlmgdh9c8tcxjvz9qkw038js35mp4dma8qzvjptg",
		"data": {"amount": 2.5}
	}`))
	fmt.Println(err)
	var refusal *event.Refusal
	if errors.As(err, &refusal) {
		fmt.Println(refusal.Field)
	}
	// Output:
	// event "1" from "/till" refused: data.amount: expected a whole number of sats from 1 to 9007199254740991, found 2.5
	// data.amount
}

func ExampleDecodePayload() {
	payload, err := event.DecodePayload(event.TypeFundsCredited, []byte(`{"amount":21,"memo":"tip"}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	if credit, ok := payload.(event.FundsCredited); ok {
		fmt.Println(credit.Amount, credit.Memo)
	}
	// Output: 21 tip
}

func ExampleLineReader() {
	const good = `{"specversion":"1.0","id":"1","source":"/mint","type":"safebox.quote.paid.v1",` +
		`"subject":"npub10elfcs4fr0l0r8af98jlmgdh9c8tcxjvz9qkw038js35mp4dma8qzvjptg","data":{"quote":"q"}}`
	lines := event.NewLineReader(strings.NewReader(good + "\nnot an event\n"))
	for {
		line, ev, err := lines.Next()
		var bad *event.LineError
		switch {
		case errors.Is(err, io.EOF):
			return
		case errors.As(err, &bad):
			fmt.Println(bad)
		case err != nil:
			fmt.Println(err)
			return
		default:
			fmt.Println(line, ev.Type)
		}
	}
	// Output:
	// 1 safebox.quote.paid.v1
	// line 2: event refused: expected one JSON object with a CloudEvents 1.0 event
}
