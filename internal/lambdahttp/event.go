package lambdahttp

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/aws/aws-lambda-go/events"
)

// gatewayEvent is a request as API Gateway hands it over.
type gatewayEvent struct {
	events.APIGatewayProxyRequest

	// taken is the body, if it was large: Body is empty then.
	taken []byte
}

// largeBody is the shortest body, as base64, that is worth a way of its own.
const largeBody = 64 << 10

// readEvent reads an event. Nearly all of a large one is its body, as base64,
// for which encoding/json needs most of the time that a function spends on an
// upload; so that is cut out and decoded by itself.
func readEvent(payload []byte) (gatewayEvent, error) {
	var event gatewayEvent
	from, to, ok := findBody(payload)
	if !ok || to-from < largeBody {
		return event, unmarshal(payload, &event)
	}
	rest := append(payload[:from:from], payload[to:]...)
	if err := unmarshal(rest, &event); err != nil {
		return event, err
	}
	if !event.IsBase64Encoded {
		return event, unmarshal(payload, &event)
	}
	event.taken = make([]byte, base64.StdEncoding.DecodedLen(to-from))
	n, err := base64.StdEncoding.Decode(event.taken, payload[from:to])
	if err != nil {
		event.Body = "%" // is refused where every other body is that is not base64
		event.taken = nil
		return event, nil
	}
	event.taken = event.taken[:n]
	return event, nil
}

func unmarshal(payload []byte, event *gatewayEvent) error {
	if err := json.Unmarshal(payload, &event.APIGatewayProxyRequest); err != nil {
		return fmt.Errorf("reading the event: %w", err)
	}
	if event.HTTPMethod == "" {
		return errNoRequest
	}
	return nil
}

// findBody finds the text of the member "body" of an object, between its quotes.
// ok is false where there is none, or where it is not a string as it stands: null,
// or with escapes in it. What is found in a text that is not JSON means nothing.
func findBody(text []byte) (from, to int, ok bool) {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case '"':
			end, _, closed := endOfString(text, i+1)
			if !closed {
				return 0, 0, false
			}
			name := text[i+1 : end]
			i = end
			if depth != 1 || string(name) != "body" {
				continue
			}
			value, isMember := bytes.CutPrefix(bytes.TrimLeft(text[end+1:], space), []byte(":"))
			if !isMember {
				continue // a value that reads like the name
			}
			value = bytes.TrimLeft(value, space)
			if len(value) == 0 || value[0] != '"' {
				return 0, 0, false
			}
			from = len(text) - len(value) + 1
			to, escapes, closed := endOfString(text, from)
			return from, to, closed && !escapes
		}
	}
	return 0, 0, false
}

// space is what JSON allows between its tokens.
const space = " \t\r\n"

// endOfString finds the quote that ends the string whose text begins at from,
// and says whether there are escapes before it.
func endOfString(text []byte, from int) (end int, escapes, closed bool) {
	for end = from - 1; ; {
		if end < from { // the quote that was found is behind, or escaped
			next := bytes.IndexByte(text[from:], '"')
			if next < 0 {
				return 0, escapes, false
			}
			end = from + next
		}
		backslash := bytes.IndexByte(text[from:end], '\\')
		if backslash < 0 {
			return end, escapes, true
		}
		escapes = true
		if from += backslash + 2; from > len(text) {
			return 0, escapes, false
		}
	}
}
