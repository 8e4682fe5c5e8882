package tlsmgr

import (
	"context"
	"runtime"
	"strings"

	"golang.org/x/crypto/acme/autocert"
)

// Names of autocert's values end so when they are not certificates.
const (
	alpnToken = "+token"
	httpToken = "+http-01"
)

// An attempt is its autocert.Manager's Cache. Challenges go to Storage as well, so that whichever node the CA asks can
// answer.

// Get never gives the certificate: an attempt is there to get another. Once it is over, the only one to ask is autocert's
// own timer for renewals, which cannot be switched off, and would order a second time what we renew ourselves; its
// goroutine ends here, and with it the timer.
func (t *attempt) Get(ctx context.Context, name string) ([]byte, error) {
	if name == t.name {
		t.mu.Lock()
		over := t.over
		t.mu.Unlock()
		if over {
			runtime.Goexit()
		}
		return nil, autocert.ErrCacheMiss
	}
	value, err := t.storage.Load(ctx, t.stored(name))
	if err != nil {
		return nil, autocert.ErrCacheMiss
	}
	return value, nil
}

// Put saves a value. What cannot be saved is used all the same, but a restart will not know it.
func (t *attempt) Put(ctx context.Context, name string, value []byte) error {
	if token, ok := strings.CutSuffix(name, httpToken); ok {
		t.mu.Lock()
		t.answers[token] = string(value)
		t.mu.Unlock()
	}
	err := t.storage.Save(ctx, t.stored(name), value)
	if err != nil {
		t.log.Error("not saved", "what", name, "error", err)
	}
	return err
}

// Delete forgets a challenge.
func (t *attempt) Delete(ctx context.Context, name string) error {
	if token, ok := strings.CutSuffix(name, httpToken); ok {
		t.mu.Lock()
		delete(t.answers, token)
		t.mu.Unlock()
	}
	return t.storage.Delete(ctx, t.stored(name))
}
