package purge

import "testing"

// A process that ends obeys no purge: whoever serves next would not know of it. The history can still be read.
func TestStoppedAPI(t *testing.T) {
	j := NewJournal()
	d := newDesk(t, j)
	d.Stop()
	var problem Problem
	d.want(adminSecret, "POST", "/v1/purge", `{"tags": ["news"]}`, 503, &problem)
	if j.Applied() != 0 {
		t.Error("it is in force all the same")
	}
	d.want(adminSecret, "GET", "/v1/purges", "", 200, nil)
}
