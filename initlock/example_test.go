package initlock_test

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/initlock/locktest"
)

// Two processes start on one database, one after the other: the first leads, and the second finds it ready.
func ExampleRun() {
	database := &locktest.Memory{} // a real one implements Locker and Marker
	options := initlock.Options{Digest: "of the migrations", Revision: "20260220_0001", Logger: slog.New(slog.DiscardHandler)}

	for _, name := range []string{"one", "two"} {
		options.Name = name
		result, err := initlock.Run(context.Background(), database, database, options,
			func(ctx context.Context, _ initlock.Lease) error {
				initlock.Note(ctx, "making tables")
				fmt.Println(name, "makes tables")
				return nil
			})
		fmt.Println(name, result.Outcome, result.Record.Revision, err)
	}
	// Output:
	// one makes tables
	// one led 20260220_0001 <nil>
	// two already_ready 20260220_0001 <nil>
}
