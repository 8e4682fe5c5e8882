package encode

import (
	"math/rand/v2"
	"strings"
)

// raceDetector is true under the race detector, which makes encoders ten times as slow and has nothing to find in large bodies.
var raceDetector bool

// prose returns n bytes that shrink about as much as text does.
func prose(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	vocabulary := make([]string, 4096)
	for i := range vocabulary {
		word := make([]byte, 2+r.IntN(9))
		for j := range word {
			word[j] = 'a' + byte(r.ExpFloat64()*5)%26
		}
		vocabulary[i] = string(word)
	}
	var b strings.Builder
	for b.Len() < n {
		b.WriteString(vocabulary[int(r.ExpFloat64()*400)%len(vocabulary)])
		b.WriteByte(" \n,."[min(r.IntN(40), 3)])
	}
	return []byte(b.String()[:n])
}

// noise returns n bytes that do not shrink.
func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{}).Read(b)
	return b
}
