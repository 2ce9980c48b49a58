package api

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/safebox/safebox/worker/event"
)

// The forms in which POST /v1/events takes events.
const (
	structured = "application/cloudevents+json"
	batched    = "application/cloudevents-batch+json"
)

// The limits on a body, in bytes.
const (
	// eventLimit leaves room for white space around an event of the largest size.
	eventLimit = event.MaxSize + 1<<10
	batchLimit = 16 << 20
)

// mode reads the content type.
func mode(r *http.Request) (string, *problem) {
	unsupported := func(what string) *problem {
		return plain(http.StatusUnsupportedMediaType, what+"; send one event as "+structured+" or a JSON array of events as "+batched).
			with("Accept", structured+", "+batched)
	}
	if enc := r.Header.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		return "", unsupported("content encoding " + shortened(enc) + " is not taken")
	}
	given := r.Header.Get("Content-Type")
	if given == structured || given == batched { // as nearly every client sends it
		return given, nil
	}
	media, params, err := mime.ParseMediaType(given)
	switch {
	case given == "":
		return "", unsupported("the content type is missing")
	case err != nil:
		return "", unsupported("content type " + shortened(given) + " is malformed")
	case media != structured && media != batched && r.Header.Get("Ce-Id") != "":
		return "", unsupported("events in binary mode (their attributes in headers) are not taken")
	case media != structured && media != batched:
		return "", unsupported("content type " + shortened(given) + " is not taken")
	}
	if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
		return "", unsupported("charset " + shortened(charset) + " is not taken, only utf-8")
	}
	return media, nil
}

// body reads a body of at most limit bytes.
func body(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, *problem) {
	if r.ContentLength > limit {
		// Whatever follows on this connection is the rest of a body that nobody wants.
		return nil, tooLarge("the body has "+strconv.FormatInt(r.ContentLength, 10)+" bytes", limit).with("Connection", "close")
	}
	b, err := read(http.MaxBytesReader(w, r.Body, limit), r.ContentLength)
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return nil, tooLarge("the body is too long", limit)
	case err != nil:
		return nil, plain(http.StatusBadRequest, "the body could not be read to its end")
	}
	return b, nil
}

// read reads to the end, in one piece where the length is known.
func read(r io.Reader, length int64) ([]byte, error) {
	if length < 0 {
		return io.ReadAll(r)
	}
	b := make([]byte, length)
	n, err := io.ReadFull(r, b)
	return b[:n], err
}

func tooLarge(what string, limit int64) *problem {
	return plain(http.StatusRequestEntityTooLarge, what+"; at most "+strconv.FormatInt(limit, 10)+" bytes are taken")
}
