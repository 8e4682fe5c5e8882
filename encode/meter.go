package encode

import (
	"sync/atomic"
	"time"
)

// Meter counts what goes through encoders. Its zero value is ready, and nil counts nothing.
type Meter struct {
	flows   [levels][codings]flow
	useless atomic.Int64
	plain   atomic.Int64
}

type flow struct {
	bodies, in, out, nanos atomic.Int64
}

// Stats is what a Meter has counted.
type Stats struct {
	Flows []Flow
	// Useless are bodies that were not smaller encoded.
	Useless int64
	// LeftPlain are bodies that nobody encoded, because too many were being encoded.
	LeftPlain int64
}

// Flow is what was encoded by one coding at one level. Those of DCZ are the deltas.
type Flow struct {
	Coding  Coding
	Level   Level
	Bodies  int64
	In, Out int64 // bytes
	// CPU is the time encoders took on a processor.
	CPU time.Duration
}

func (m *Meter) add(c Coding, l Level, in, out int64, took time.Duration) {
	if m == nil {
		return
	}
	f := &m.flows[l][c]
	f.bodies.Add(1)
	f.in.Add(in)
	f.out.Add(out)
	f.nanos.Add(int64(took))
}

// addTrial counts the work of finding out that a body is not worth encoding.
func (m *Meter) addTrial(c Coding, l Level, took time.Duration) {
	if m != nil {
		m.flows[l][c].nanos.Add(int64(took))
	}
}

func (m *Meter) addUseless() {
	if m != nil {
		m.useless.Add(1)
	}
}

// LeavePlain counts a body that goes out as it is, because too many are being encoded.
func (m *Meter) LeavePlain() {
	if m != nil {
		m.plain.Add(1)
	}
}

// Stats returns what was counted so far: every coding that is made, at both levels.
func (m *Meter) Stats() Stats {
	s := Stats{Useless: m.useless.Load(), LeftPlain: m.plain.Load()}
	for l := range Level(levels) {
		for _, c := range [...]Coding{Gzip, Brotli, Zstd, DCZ} {
			f := &m.flows[l][c]
			s.Flows = append(s.Flows, Flow{
				Coding: c, Level: l, Bodies: f.bodies.Load(),
				In: f.in.Load(), Out: f.out.Load(), CPU: time.Duration(f.nanos.Load()),
			})
		}
	}
	return s
}
