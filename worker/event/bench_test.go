package event_test

import (
	"testing"

	"github.com/safebox/safebox/worker/event"
)

func BenchmarkDecodePayload(b *testing.B) {
	for name, bc := range map[string]struct{ typ, data string }{
		"credited":    {event.TypeFundsCredited, `{"amount":50000000,"memo":"opening"}`},
		"debited":     {event.TypeFundsDebited, `{"amount":466,"fee":1,"memo":"invoice"}`},
		"transferred": {event.TypeFundsTransferred, `{"to":"` + otherNpub + `","amount":275,"fee":1,"memo":"lunch"}`},
		"registered": {
			event.TypeWalletRegistered,
			`{"npub":"` + exampleNpub + `","handle":"alice","home_relay":"wss://relay.example.test","onboard_code":"alpha","currency_code":"USD"}`,
		},
	} {
		b.Run(name, func(b *testing.B) {
			data := []byte(bc.data)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := event.DecodePayload(bc.typ, data); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	input := []byte(structured(event.TypeFundsTransferred, `{"to":"`+otherNpub+`","amount":275,"fee":1,"memo":"lunch"}`))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := event.Decode(input); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

func BenchmarkEncode(b *testing.B) {
	ev, err := event.Decode([]byte(credit("a")))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		event.Encode(ev)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
