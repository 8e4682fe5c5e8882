package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"selvage/cache"
)

// cacheCommand is `selvage cache`: what the disk tier of a node holds, through the admin socket of the one that runs here,
// or in the folder of one that does not run.
type cacheCommand struct {
	Ls    cacheLs    `cmd:"" help:"List what is stored."`
	Stat  cacheStat  `cmd:"" help:"Tell how much is stored, and what was done."`
	Scrub cacheScrub `cmd:"" help:"Read and check everything; forget what is damaged."`
	Rm    cacheRm    `cmd:"" help:"Forget a URL, all its variants, on disk and in memory."`
}

// diskPlace are the flags that say whose disk tier is meant.
type diskPlace struct {
	Path   string `help:"Cache folder of a node that is stopped, in place of the running one's." placeholder:"DIR" xor:"place"`
	Socket string `help:"Admin socket of the running node." placeholder:"PATH" xor:"place"`
	JSON   bool   `name:"json" help:"Print as JSON."`
}

// diskTier is a node's disk tier: stoppedDisk or runningDisk.
type diskTier interface {
	List(ctx context.Context, yield func(cache.StoredResponse) bool) error
	Stat(ctx context.Context) (cache.DiskStat, error)
	// Scrub tells progress, from its own goroutine, the bytes read and those there are.
	Scrub(ctx context.Context, progress func(done, total int64)) (cache.Scrubbed, error)
	Remove(ctx context.Context, url string) (int, error)
	Close() error
}

// use opens the disk tier that is meant, and hands it to a verb, with a line for its progress. An interrupt ends the verb,
// and what was opened is closed.
func (p *diskPlace) use(c console, do func(context.Context, diskTier, *progress) error) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	line := newProgress(c)
	d, err := p.open(ctx, c, slog.New(slog.NewTextHandler(line, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		return err
	}
	err = do(ctx, d, line)
	return errors.Join(err, d.Close())
}

func (p *diskPlace) open(ctx context.Context, c console, log *slog.Logger) (diskTier, error) {
	if p.Path == "" {
		return newRunningDisk(adminSocketPath(p.Socket, c.machine.env, os.Geteuid())), nil
	}
	return openStoppedDisk(ctx, p.Path, log)
}

// cacheLs is `selvage cache ls`.
type cacheLs struct{ diskPlace }

// Run prints a line for every stored response, oldest first.
func (k *cacheLs) Run(c console) error {
	return k.use(c, func(ctx context.Context, d diskTier, _ *progress) error {
		out := bufio.NewWriter(c.out)
		table := newStoredTable(out, c)
		put := table.put
		if k.JSON {
			e := json.NewEncoder(out)
			e.SetEscapeHTML(false)
			put = func(s cache.StoredResponse) error { return e.Encode(s) }
		}
		var failed error
		err := d.List(ctx, func(s cache.StoredResponse) bool {
			failed = put(s)
			return failed == nil
		})
		if table.rows == 0 && !k.JSON && err == nil {
			fmt.Fprintln(out, "nothing is stored")
		}
		return errors.Join(err, failed, out.Flush())
	})
}

// cacheStat is `selvage cache stat`.
type cacheStat struct{ diskPlace }

// Run prints the figures.
func (k *cacheStat) Run(c console) error {
	return k.use(c, func(ctx context.Context, d diskTier, _ *progress) error {
		s, err := d.Stat(ctx)
		switch {
		case err != nil:
			return err
		case k.JSON:
			return printJSON(c.out, s)
		}
		return writeStat(c.out, s, c.style())
	})
}

// cacheScrub is `selvage cache scrub`.
type cacheScrub struct{ diskPlace }

// Run checks everything, with its progress on a terminal. Damage is a failure, though it is mended by then.
func (k *cacheScrub) Run(c console) error {
	return k.use(c, func(ctx context.Context, d diskTier, line *progress) error {
		r, err := d.Scrub(ctx, line.show)
		line.clear()
		if err != nil {
			return err
		}
		if k.JSON {
			err = printJSON(c.out, r)
		} else {
			err = writeScrubbed(c.out, r, c.style())
		}
		return errors.Join(err, found(r))
	})
}

// found is the error that a scrub's findings stand for.
func found(r cache.Scrubbed) error {
	switch {
	case r.Clean:
		return nil
	case len(r.Damaged) == 0:
		return fmt.Errorf("the index is wrong: it lacks %s and has %d too many", count(int(r.Missing), "record"), r.Orphans)
	}
	return fmt.Errorf("damage cost %s; forgotten, and fetched anew when asked for", count(len(r.Damaged), "record"))
}

// cacheRm is `selvage cache rm`.
type cacheRm struct {
	diskPlace
	URL string `arg:"" help:"Host, path and query. With a scheme or without: both fall."`
}

// Run removes all variants of a URL.
func (k *cacheRm) Run(c console) error {
	url, err := cache.ParsePurgeURL(k.URL)
	if err != nil {
		return usageError(err.Error())
	}
	return k.use(c, func(ctx context.Context, d diskTier, _ *progress) error {
		n, err := d.Remove(ctx, url)
		switch {
		case err != nil:
			return err
		case k.JSON:
			return printJSON(c.out, removal{url, n})
		}
		_, err = fmt.Fprintf(c.out, "%s: %s removed\n", url, count(n, "response"))
		return err
	})
}
