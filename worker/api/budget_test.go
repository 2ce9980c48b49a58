package api

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
)

func TestBodiesInHandAreBoundedTogether(t *testing.T) {
	b := &budget{most: 1000}
	inside, leave := make(chan struct{}), make(chan struct{})
	h := b.spend(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, p := body(w, r, 10_000); p != nil {
			p.write(w)
			return
		}
		inside <- struct{}{}
		<-leave
	}))
	send := func(size int) *httptest.ResponseRecorder {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(make([]byte, size))))
		return rec
	}
	var first, second sync.WaitGroup
	first.Go(func() { send(600) })
	<-inside
	if rec := send(500); rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") != "1" || rec.Header().Get("Connection") != "close" {
		t.Errorf("beyond the bound: %d %v", rec.Code, rec.Header())
	}
	second.Go(func() { send(300) }) // the one that was refused holds nothing any more
	<-inside
	close(leave)
	first.Wait()
	second.Wait()
	if held := b.held.Load(); held != 0 {
		t.Errorf("%d bytes are held by nobody", held)
	}
}

func TestALargeBodyGetsItsMemoryAsItComes(t *testing.T) {
	const promised = 16 << 20
	if got, err := read(strings.NewReader("a few bytes"), promised); err == nil || cap(got) > firstPiece {
		t.Errorf("%d bytes of memory for %q, %v", cap(got), got, err)
	}
	for _, size := range []int{0, 1, firstPiece, firstPiece + 1, 5*firstPiece + 7} {
		want := bytes.Repeat([]byte("x"), size)
		if got, err := read(iotest.OneByteReader(bytes.NewReader(want)), int64(size)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d of %d bytes, %v", len(got), size, err)
		}
		if got, err := read(iotest.DataErrReader(bytes.NewReader(want)), int64(size)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d of %d bytes with their end, %v", len(got), size, err)
		}
	}
}
