package main

import (
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// scenarioFiles returns every scenario under testdata/scenarios.
func scenarioFiles(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir("../../testdata/scenarios", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".txt") {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatal("testdata/scenarios has no scenario")
	}
	return files
}

// TestScenarios plays every scenario in every mode, each inside a synctest bubble: clients, node and origins share a
// clock that moves when nothing else does, so that hours pass in no time and moments are exact.
func TestScenarios(t *testing.T) {
	for _, file := range scenarioFiles(t) {
		name := strings.TrimSuffix(strings.TrimPrefix(filepath.ToSlash(file), "../../testdata/scenarios/"), ".txt")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sc, err := readScenario(file)
			if err != nil {
				t.Fatal(err)
			}
			defer watch(file).Stop()
			for _, m := range sc.modeNames() {
				t.Run(m, func(t *testing.T) {
					logFile := filepath.Join(t.TempDir(), "access.log")
					synctest.Test(t, func(t *testing.T) {
						if err := sc.play(scenarioModes[m], logFile, startSelvage); err != nil {
							t.Error(err)
						}
					})
				})
			}
		})
	}
}

// modeNames returns the modes a scenario runs in: those it names and their kin ("h1" has "h1-slow"), else all.
func (sc *scenario) modeNames() []string {
	if len(sc.modes) == 0 {
		return slices.Sorted(maps.Keys(scenarioModes))
	}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(scenarioModes)) {
		kin, _, _ := strings.Cut(name, "-")
		if slices.Contains(sc.modes, kin) {
			names = append(names, name)
		}
	}
	return names
}

// watch ends the test binary, with every goroutine's stack, when a scenario hangs in real time: something waits where
// synctest does not see it, for a mutex or for the world outside.
func watch(file string) *time.Timer {
	return time.AfterFunc(2*time.Minute, func() { panic(file + " hangs") })
}
