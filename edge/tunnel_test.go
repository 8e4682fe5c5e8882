package edge

import (
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// joined runs a tunnel between two pipes, and returns their far ends and what the tunnel will have sent to the client.
func joined(idle time.Duration) (client, origin net.Conn, sent <-chan int64) {
	client, nearClient := net.Pipe()
	origin, nearOrigin := net.Pipe()
	done := make(chan int64, 1)
	go func() {
		done <- (&tunnel{client: nearClient, origin: nearOrigin, idle: idle}).run(nearClient)
	}()
	return client, origin, done
}

func TestTunnelCarriesBothWays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, origin, sent := joined(time.Minute)
		go io.Copy(origin, origin) // an echo
		for range 10 {
			time.Sleep(59 * time.Second) // silent, but never for as long as the limit
			if _, err := client.Write([]byte("hello")); err != nil {
				t.Fatal(err)
			}
			back := make([]byte, 5)
			if _, err := io.ReadFull(client, back); err != nil || string(back) != "hello" {
				t.Fatalf("%q, %v, want what was sent", back, err)
			}
		}
		client.Close()
		if n := <-sent; n != 50 {
			t.Errorf("%d bytes went to the client, want 50", n)
		}
	})
}

func TestTunnelEndsWithEitherSide(t *testing.T) {
	for _, c := range []struct {
		name  string
		end   func(client, origin net.Conn)
		after time.Duration
	}{
		{"the client leaves", func(client, _ net.Conn) { client.Close() }, 0},
		{"the origin leaves", func(_, origin net.Conn) { origin.Close() }, 0},
		{"silence", func(net.Conn, net.Conn) {}, time.Minute},
		{"a client that takes nothing", func(_, origin net.Conn) { go origin.Write([]byte("x")) }, time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, origin, sent := joined(time.Minute)
				defer client.Close()
				defer origin.Close()
				begin := time.Now()
				c.end(client, origin)
				<-sent
				if took := time.Since(begin); took != c.after {
					t.Errorf("it ended after %v, want %v", took, c.after)
				}
				for name, side := range map[string]net.Conn{"client": client, "origin": origin} {
					if _, err := side.Read(make([]byte, 1)); err == nil {
						t.Errorf("the %s's side is open", name)
					}
				}
			})
		})
	}
}
