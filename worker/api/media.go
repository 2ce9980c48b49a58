package api

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/safebox/safebox/worker/event"
)

// The forms in which POST /v1/events takes events.
const (
	structured = "application/cloudevents+json"
	batched    = "application/cloudevents-batch+json"
	// binary stands for events whose attributes are headers; their content type is that of their data.
	binary = "binary"
)

// The limits on a body, in bytes.
const (
	// eventLimit leaves room for white space around an event of the largest size.
	eventLimit = event.MaxSize + 1<<10
	batchLimit = 16 << 20
)

// accepted are the content types that POST /v1/events takes, for the header Accept.
const accepted = structured + ", " + batched + ", application/json"

// decodable refuses a body that is compressed, or whose type is told twice.
func decodable(r *http.Request, accept string) *problem {
	if enc := strings.Join(r.Header["Content-Encoding"], ", "); enc != "" && !strings.EqualFold(enc, "identity") {
		return plain(http.StatusUnsupportedMediaType, "content encoding "+shortened(enc)+" is not taken; send the body as it is").
			with("Accept", accept).with("Accept-Encoding", "identity")
	}
	if len(r.Header["Content-Type"]) > 1 {
		return plain(http.StatusBadRequest, "the header Content-Type is there more than once")
	}
	return nil
}

// mode reads the content type.
func mode(r *http.Request) (string, *problem) {
	unsupported := func(what string) *problem {
		return plain(http.StatusUnsupportedMediaType, what+"; send one event as "+structured+", a JSON array of events as "+batched+
			", or one event in binary mode (its attributes in headers that begin with ce-)").with("Accept", accepted)
	}
	if p := decodable(r, accepted); p != nil {
		return "", p
	}
	given := r.Header.Get("Content-Type")
	if given == structured || given == batched { // as nearly every client sends it
		return given, nil
	}
	media, params, err := mime.ParseMediaType(given)
	switch {
	case strings.HasPrefix(media, "application/cloudevents"):
		if media != structured && media != batched {
			return "", unsupported("content type " + shortened(given) + " is not taken")
		}
	case hasAttributes(r.Header):
		return binary, nil
	case given == "":
		return "", unsupported("the content type is missing")
	case err != nil:
		return "", unsupported("content type " + shortened(given) + " is malformed")
	default:
		return "", unsupported("content type " + shortened(given) + " is not taken")
	}
	if err != nil {
		return "", unsupported("content type " + shortened(given) + " is malformed")
	}
	if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
		return "", unsupported("charset " + shortened(charset) + " is not taken, only utf-8")
	}
	return media, nil
}

// body reads a body of at most limit bytes.
func body(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, *problem) {
	if r.ContentLength == 0 && len(r.TransferEncoding) == 0 && len(r.Header["Content-Length"]) == 0 {
		return nil, plain(http.StatusLengthRequired, "there is no body; send one with its Content-Length, or chunked")
	}
	if r.ContentLength > limit {
		// Whatever follows on this connection is the rest of a body that nobody wants.
		return nil, tooLarge("the body has "+strconv.FormatInt(r.ContentLength, 10)+" bytes", limit).with("Connection", "close")
	}
	b, err := read(http.MaxBytesReader(w, r.Body, limit), r.ContentLength)
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return nil, tooLarge("the body is too long", limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, plain(http.StatusRequestTimeout, "the body took too long to come").with("Connection", "close")
	case errors.Is(err, errFull):
		return nil, busy()
	case err != nil:
		return nil, plain(http.StatusBadRequest, "the body could not be read to its end").with("Connection", "close")
	}
	return b, nil
}

// firstPiece is the most memory that a body gets on the word of its header alone.
const firstPiece = 128 << 10

// read reads to the end, in one piece where the length is known and not large: a large body gets its memory as it comes.
func read(r io.Reader, length int64) ([]byte, error) {
	switch {
	case length < 0:
		return io.ReadAll(r)
	case length <= firstPiece:
		b := make([]byte, length)
		n, err := io.ReadFull(r, b)
		return b[:n], err
	}
	b := make([]byte, 0, firstPiece)
	for int64(len(b)) < length {
		if len(b) == cap(b) {
			b = slices.Grow(b, int(min(int64(len(b)), length-int64(len(b)))))
		}
		n, err := r.Read(b[len(b):min(int64(cap(b)), length)])
		b = b[:len(b)+n]
		if err != nil && (!errors.Is(err, io.EOF) || int64(len(b)) < length) {
			return b, err
		}
	}
	return b, nil
}

func tooLarge(what string, limit int64) *problem {
	return plain(http.StatusRequestEntityTooLarge, what+"; at most "+strconv.FormatInt(limit, 10)+" bytes are taken")
}
