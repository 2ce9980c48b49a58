// Package bus is the Watermill frame around the event log: a publisher, a subscriber with consumer groups, and a router
// that runs every handler.
//
// A subscriber has lanes. A lane claims one partition for one batch, delivers the batch's records, and commits the batch with
// its cursor when the last one is acknowledged. To a handler with a session the router brings the records of a batch in one
// message, whose context has them and how far the handler came; to any other consumer each record is a message of its own,
// and the next follows when it is acknowledged. There are no leases: the claim is a row lock of the batch's transaction, and
// dies with it. Partitions with few records each may share a batch (Together), which is then in the order of their recording,
// and commits as a whole or is given up and each partition claimed alone.
//
// What a subscription knows of the log is on its board. Appends of the process tell it how far the log goes, those of others
// are announced with their positions, and a scout looks for itself every Poll. The subscriber that processed a partition last
// has its next records for itself for a moment (60 ms); then the others look at the cursors, and help where nothing moved.
// Where partitions may share a batch, few records are gathered by one subscriber, which takes fewer transactions for them: who
// processed more of the partitions lately takes new work of others the likelier, and who processed less than half of them
// leaves its own to others for a moment (10 ms). Where records come in faster than one takes them, the others help as above.
//
// As many lanes are at work as do not wait for one another. The database tells how long a batch waited for rows that others
// had: transfers to the same wallets, say. Where more than one lane is always waiting, one fewer is at work, and where hardly
// one is, one more, beginning with one. They step in at once for lanes that do not come back (for 100 ms), so that what is
// stuck holds up no more than itself.
//
// A sink that forwards the log to a broker or a webhook, and a source that appends what a broker delivers, are handlers of
// Watermill's own router, with a Subscriber or a Publisher of this package on one side and another library's on the other. The
// log takes what a source delivers again for the duplicate that it is; a sink has a consumer group of its own, keeps the order
// of each subject, and delivers at least once.
//
// Invariants:
//
//  1. Records of one partition are handled in the order of the log, each after the one before was done with.
//  2. What a handler's session stores, and the cursor that moves past its records, commit together or not at all. So a
//     record takes effect in the database exactly once; effects elsewhere happen at least once. A consumer without a session
//     is not given again what it acknowledged before a batch was rolled back, as long as its process lives.
//  3. A record that was not acknowledged ends its batch: what came before it is committed, it is tried again alone, with a
//     growing pause, and after MaxAttempts it is parked. MaxAttempts 0 means for ever. An error that may pass by itself, or
//     that is the database's and not the event's, is no attempt. After a panic nothing of the session is trusted: what came
//     before is processed again, and then committed.
//  4. A batch that fails in the database for a reason that may pass is tried again as it is, and made smaller when it goes
//     on failing; for any other reason it is halved until the record that fails stands alone.
//  5. While a subject has a parked event, its later events are parked behind it, in order. Other subjects go on.
//  6. Polling alone is enough for progress: a wake-up only makes it sooner.
//  7. Close stops claiming, finishes the batches in hand, then closes the channels. What a consumer does not answer within
//     CloseTimeout is given back. The end of a subscription's context rolls the batches in hand back.
//  8. A consumer that does not take messages keeps no transaction open: its batch is given back, and offered again later.
//  9. Partitions with work are taken by turns, each for one batch of what it has, up to the most that is set: a subject with a
//     long backlog holds nobody up for longer than that.
package bus
