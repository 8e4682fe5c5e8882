package edge

import (
	"errors"
	"strings"
	"testing"
)

func TestErrorPageFind(t *testing.T) {
	pages := compileErrorPages(map[string]ErrorPageConfig{
		"404": {Body: "404"}, "4xx": {Body: "4xx"}, "503": {Body: "503"}, "offline": {Body: "offline"},
	})
	for _, tt := range []struct {
		failure failure
		want    string
	}{
		{failure{status: 404}, "404"},
		{failure{status: 403}, "4xx"},
		{failure{status: 503}, "503"},
		{failure{status: 502}, ""},
		{failure{status: 503, offline: true}, "offline"}, // before the status
		{failure{status: 502, offline: true}, "offline"},
	} {
		got := ""
		if page := pages.find(tt.failure); page != nil {
			got = page.body
		}
		if got != tt.want {
			t.Errorf("find(%+v) = %q, want %q", tt.failure, got, tt.want)
		}
	}
	none := compileErrorPages(nil)
	if page := none.find(failure{status: 503, offline: true}); page != nil {
		t.Errorf("find without pages = %v, want none", page)
	}
}

func TestReadErrorPages(t *testing.T) {
	files := map[string]string{"a.html": "<p>a", "b.txt": "b", "c": "{}", "large.html": strings.Repeat("x", maxErrorPage+1), "empty.html": ""}
	read := func(name string) ([]byte, error) {
		text, ok := files[name]
		if !ok {
			return nil, errors.New("no such file")
		}
		return []byte(text), nil
	}
	for _, tt := range []struct {
		page                       ErrorPageConfig
		body, contentType, problem string
	}{
		{ErrorPageConfig{Body: "here"}, "here", "text/html; charset=utf-8", ""},
		{ErrorPageConfig{File: "a.html"}, "<p>a", "text/html; charset=utf-8", ""},
		{ErrorPageConfig{File: "b.txt"}, "b", "text/plain; charset=utf-8", ""},
		{ErrorPageConfig{File: "c", ContentType: "application/json"}, "{}", "application/json", ""},
		{ErrorPageConfig{File: "empty.html"}, "", "text/html; charset=utf-8", ""},
		{ErrorPageConfig{File: "large.html"}, "", "", "large.html is larger than 1MiB"},
		{ErrorPageConfig{File: "missing.html"}, "", "", "no such file"},
	} {
		c := SiteConfig{ErrorPages: map[string]ErrorPageConfig{"503": tt.page}}
		problem := ""
		c.ReadErrorPages(read, func(path, text, _ string) { problem = path + ": " + text })
		if tt.problem != "" {
			if want := "error_pages.503.file: " + tt.problem; problem != want {
				t.Errorf("%+v: problem = %q, want %q", tt.page, problem, want)
			}
			continue
		}
		pages := compileErrorPages(c.ErrorPages)
		if got, want := *pages.find(failure{status: 503}), (errorPage{tt.contentType, tt.body}); got != want || problem != "" {
			t.Errorf("%+v: page = %+v (%s), want %+v", tt.page, got, problem, want)
		}
	}
}
