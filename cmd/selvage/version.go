package main

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
)

// version is set by the release build: -ldflags "-X main.version=v1.2.3".
var version = ""

// versionCommand is `selvage version`.
type versionCommand struct {
	JSON bool `name:"json" help:"Print as JSON."`
}

// Run prints the version.
func (k *versionCommand) Run(c console) error {
	build := thisBuild()
	if k.JSON {
		return printJSON(c.out, build)
	}
	_, err := fmt.Fprintf(c.out, "selvage %s (%s, %s)\n", build.Version, build.Go, build.Platform)
	return err
}

type buildInfo struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func thisBuild() buildInfo {
	b := buildInfo{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			b.Revision = s.Value
		}
	}
	if b.Version == "" && info.Main.Version != "(devel)" {
		b.Version = info.Main.Version
	}
	if b.Version == "" {
		b.Version = "unreleased"
	}
	return b
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
