package main

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"selvage/origin"
)

// nodeDocument is what the test below reads of the document.
type nodeDocument struct {
	Paths      map[string]map[string]any
	Components struct {
		Schemas map[string]struct{ Properties map[string]any }
	}
}

// TestNodeAPIDocument: the endpoints and keys of the document are those that there are.
func TestNodeAPIDocument(t *testing.T) {
	tn := startNode(t)
	door := tn.admin.behindSocket()
	ask := func(method, target string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, target, strings.NewReader("{}"))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		door.ServeHTTP(w, r)
		return w
	}
	w := ask("GET", "/v1/openapi-node.yaml")
	var doc nodeDocument
	if err := yaml.Unmarshal(w.Body.Bytes(), &doc); err != nil || w.Header().Get("Content-Type") != "application/yaml" {
		t.Fatalf("%v, %v", w.Header(), err)
	}
	names := strings.NewReplacer("{origin}", "app", "{site}", "default")
	for path, methods := range doc.Paths {
		for method := range methods {
			if method == "parameters" {
				continue
			}
			if code := ask(strings.ToUpper(method), names.Replace(path)).Code; code == http.StatusNotFound || code == http.StatusMethodNotAllowed {
				t.Errorf("%s %s: status = %d: it is not served", method, path, code)
			}
		}
	}
	if got := len(doc.Paths); got != 4 {
		t.Errorf("%d paths, want 4", got)
	}
	for schema, of := range map[string]any{"Site": siteStatus{}, "Origin": originStatus{}, "Upstream": origin.UpstreamStatus{}} {
		want := jsonKeys(reflect.TypeOf(of))
		if diff := cmp.Diff(want, slices.Sorted(maps.Keys(doc.Components.Schemas[schema].Properties))); diff != "" {
			t.Errorf("keys of %s (-want +got):\n%s", schema, diff)
		}
	}
	tn.signals <- syscall.SIGTERM
	<-tn.done
}

// jsonKeys are the keys that encoding/json writes of a struct.
func jsonKeys(of reflect.Type) (keys []string) {
	for _, f := range reflect.VisibleFields(of) {
		if key, _, _ := strings.Cut(f.Tag.Get("json"), ","); key != "" {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// TestSites: a name is what the path says, whatever characters it has; all sites are listed.
func TestSites(t *testing.T) {
	tn := startNodeWith(t, "  - {hosts: ['*.example.com'], origin: app, tls: {issuer: self_signed}}\n")
	door := tn.admin.behindSocket()
	r := httptest.NewRequest("PUT", "/v1/sites/%2A.example.com/freeze", strings.NewReader(`{"for": "2h", "why": "because"}`))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	door.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Fatalf("PUT: status = %d\n%s", w.Code, w.Body)
	}
	w = httptest.NewRecorder()
	door.ServeHTTP(w, httptest.NewRequest("GET", "/v1/sites", nil))
	var all []siteStatus
	if err := json.Unmarshal(w.Body.Bytes(), &all); err != nil {
		t.Fatal(err)
	}
	if len(all) != 2 || all[0].Site != "default" || all[0].Frozen != nil || all[1].Site != "*.example.com" || all[1].Frozen == nil || all[1].Frozen.Why != "because" {
		t.Errorf("GET /v1/sites: %s", w.Body)
	}
	tn.signals <- syscall.SIGTERM
	<-tn.done
}
