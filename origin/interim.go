package origin

import (
	"context"
	"net/http"
)

// Witness is told of the interim responses that come before the answer to a request (RFC 9110, section 15.2).
// Others than the caller of RoundTrip may call it, also together or once that has returned: an exchange that has lost, say.
type Witness interface {
	Got1xx(code int, header http.Header)
}

type witnessKey struct{}

// WithWitness has w told of the interim responses to the requests that are made with the context it returns.
func WithWitness(ctx context.Context, w Witness) context.Context {
	return context.WithValue(ctx, witnessKey{}, w)
}

// WitnessFrom returns who is to be told, or nil.
func WitnessFrom(ctx context.Context) Witness {
	w, _ := ctx.Value(witnessKey{}).(Witness)
	return w
}
