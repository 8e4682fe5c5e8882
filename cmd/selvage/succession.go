package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sync/errgroup"

	"selvage/cache"
	"selvage/edge"
	"selvage/purge"
)

// A process that gets its sockets from systemd, or from whoever does the same, may start before its predecessor on the same
// sockets has ended. A folder on the disk has one process, and so has an admin socket, so it waits for them. Meanwhile, from
// when the predecessor drains, a stand-in answers on the sockets: a node like any other, that has neither disk nor admin
// side, and nothing in memory yet.
//
// The stand-in obeys no purge, and the predecessor none once it drains: of each the other would not know. What unsafe methods
// invalidate at the stand-in it cannot tell one by one: the successor has all that is on the disk validated.

// succession is the start of a node that has to wait.
type succession struct {
	f       *File
	name    string
	machine machine
	log     *slog.Logger
	sockets *sockets
	signals <-chan os.Signal

	standIn *node // nil while the predecessor serves
	drain   chan os.Signal
	ended   chan error // of the stand-in's run
}

// lookAround is the time between two looks at what the predecessor does.
const lookAround = 100 * time.Millisecond

// run waits, and then runs the node.
func (s *succession) run() error {
	s.log.Info("another process has the disk or the admin socket; waiting for its end")
	for s.taken() {
		if s.standIn == nil && !s.predecessorServes() {
			if err := s.beginStandIn(); err != nil {
				return err
			}
		}
		select {
		case signal := <-s.signals:
			if signal == syscall.SIGTERM || signal == syscall.SIGINT {
				return s.endStandIn()
			}
		case err := <-s.ended:
			return err
		case <-time.After(lookAround):
		}
	}
	n, err := newNode(s.f, s.name, s.machine, s.log, s.sockets)
	if err != nil {
		return errors.Join(err, s.endStandIn())
	}
	s.sockets.closeUnused(s.log)
	if s.standIn == nil {
		return n.run(s.signals)
	}
	return s.handOver(n)
}

// taken reports whether another process has what the node needs for itself.
func (s *succession) taken() bool { return taken(s.f, s.machine) }

func taken(f *File, m machine) bool {
	return f.Disk.Path != "" && locked(filepath.Join(f.Disk.Path, "purges")) || answers(adminSocketOf(f, m))
}

func adminSocketOf(f *File, m machine) string {
	return adminSocketPath(f.Admin.Socket, m.env, os.Geteuid())
}

// locked reports whether another process holds the lock of a file.
func locked(name string) bool {
	file, err := os.OpenFile(name, os.O_RDWR|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return false // whoever opens it will say why
	}
	defer file.Close() // and with it the lock
	return errors.Is(syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB), syscall.EWOULDBLOCK)
}

func answers(socket string) bool {
	c, err := net.DialTimeout("unix", socket, time.Second)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// predecessorServes asks the admin socket. A predecessor that drains says that it is not ready; one that has no admin side
// any more drains too.
func (s *succession) predecessorServes() bool {
	client := adminClient(adminSocketOf(s.f, s.machine))
	defer client.CloseIdleConnections()
	response, err := client.Get(adminURL + "/readyz")
	if err != nil {
		return false
	}
	response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// beginStandIn has a stand-in serve on copies of the sockets.
func (s *succession) beginStandIn() error {
	copies, err := s.sockets.copies()
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "selvage-")
	if err != nil {
		return fmt.Errorf("folder for a stand-in: %w", err)
	}
	defer os.RemoveAll(folder) // nobody is to find its admin socket
	f := s.standInFile(copies)
	f.Admin.Socket = filepath.Join(folder, "admin.sock")
	if s.standIn, err = newNode(f, "", s.machine, s.log, copies); err != nil {
		return fmt.Errorf("stand-in: %w", err)
	}
	copies.closeUnused(s.log)
	s.standIn.tell = func(state string) {
		if state == daemon.SdNotifyReady { // its end is not the service's
			tellSystemd(s.log, state)
		}
	}
	s.drain, s.ended = make(chan os.Signal, 1), make(chan error, 1)
	go func() { s.ended <- s.standIn.run(s.drain) }()
	return nil
}

// standInFile is the configuration of a stand-in.
func (s *succession) standInFile(copies *sockets) *File {
	f := *s.f
	f.Disk, f.Purge, f.Admin = cache.DiskConfig{}, purge.Config{}, AdminConfig{}
	f.Memory = max(f.Memory/4, minMemory) // the node has the whole of it as soon as it starts
	f.Listeners = nil
	for _, l := range s.f.Listeners {
		if copies.has(l.Address) {
			f.Listeners = append(f.Listeners, overTCP(l))
		}
	}
	f.Streams = slices.DeleteFunc(slices.Clone(s.f.Streams), func(c edge.StreamConfig) bool { return !copies.has(c.Address) })
	return &f
}

// overTCP is a listener without HTTP/3: of a UDP socket there can be no copy, for both would get packets of either's
// connections.
func overTCP(l edge.ListenerConfig) edge.ListenerConfig {
	l.HTTP3 = new(false)
	return l
}

// endStandIn lets the stand-in finish what is under way, if there is one.
func (s *succession) endStandIn() error {
	if s.standIn == nil {
		return nil
	}
	s.drain <- syscall.SIGTERM
	return <-s.ended
}

// handOver has the node serve, and the stand-in drain.
func (s *succession) handOver(n *node) error {
	known, err := s.invalidate(n, 0)
	if err != nil {
		return errors.Join(err, s.endStandIn())
	}
	var g errgroup.Group
	g.Go(func() error { return n.run(s.signals) })
	g.Go(func() error {
		err := s.endStandIn()
		if _, more := s.invalidate(n, known); more != nil {
			s.log.Error("what was invalidated while the last process ended is not on the disk", "error", more)
		}
		return err
	})
	return g.Wait()
}

// invalidate has everything validated if the stand-in's requests have invalidated more than is known.
func (s *succession) invalidate(n *node, known uint64) (now uint64, err error) {
	if now = s.standIn.journal.Applied(); now == known {
		return now, nil
	}
	_, err = n.journal.Add(purge.Entry{Kind: cache.MustValidate, All: true, Why: "unsafe requests while the last process ended"})
	return now, err
}
