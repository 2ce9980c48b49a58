package api_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"strings"

	"github.com/safebox/safebox/worker/api"
	"github.com/safebox/safebox/worker/event"
)

// A server listens on a free port of the loopback address, where events are taken without a token, and answers the
// event that a client posts.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	quiet := slog.New(slog.DiscardHandler)
	server, err := api.Listen(ctx, api.ServerOptions{Addr: "127.0.0.1:0", Explicit: true, Logger: quiet})
	if err != nil {
		log.Fatal(err)
	}
	handler := api.New(api.Options{
		Appender: fixed{Result: event.Appended, Partition: 17, Position: 1}, // in earnest: the event log
		Ready:    func(context.Context) []api.Check { return []api.Check{{Name: "initialised", OK: true}} },
		Logger:   quiet,
	})
	done := make(chan error)
	go func() { done <- server.Serve(ctx, handler) }()

	body := `{"specversion":"1.0", "id":"1", "source":"/till", "type":"safebox.funds.credited.v1",
		"subject":"` + npub + `", "data":{"amount":21}}`
	res, err := http.Post("http://"+server.Addr().String()+"/v1/events", structured, strings.NewReader(body))
	if err != nil {
		log.Fatal(err)
	}
	answer, _ := io.ReadAll(res.Body)
	res.Body.Close()
	fmt.Print(res.Status, " ", string(answer))

	stop()
	fmt.Println(<-done)
	// Output:
	// 201 Created {"result":"appended","partition":17,"position":1,"id":"1","source":"/till"}
	// <nil>
}
