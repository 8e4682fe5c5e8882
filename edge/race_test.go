//go:build race

package edge

func init() { raceDetector = true }
