package encode

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestSizes measures real text beside the reference tools, for testdata/bench/README.md: `make sizes` calls it. SELVAGE_SIZES
// is a folder with a folder for each set of files, and SELVAGE_SIZES_OLD one with older versions under the same names.
func TestSizes(t *testing.T) {
	folder := os.Getenv("SELVAGE_SIZES")
	if folder == "" {
		t.Skip("SELVAGE_SIZES names no folder: make sizes")
	}
	sets, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var all []measurement
	for _, set := range sets {
		files := textOf(t, filepath.Join(folder, set.Name()))
		all = append(all, measure(t, set.Name(), files))
	}
	printSizes(all)
	printCosts(all)
	if old := os.Getenv("SELVAGE_SIZES_OLD"); old != "" {
		printDeltas(t, folder, old)
	}
}

// way is one way to encode a file: ours, or that of a tool.
type way struct {
	name   string
	encode func(file string, src []byte) (size int, cpu time.Duration, err error)
}

// ways are in groups of a coding, with the tool that the others are compared to first.
var ways = []way{
	tool("gzip", "-9"), ours(Gzip, Best), ours(Gzip, Fast),
	tool("zstd", "-9"), ours(Zstd, Best), ours(Zstd, Fast),
	tool("brotli", "-q", "11"), ours(Brotli, Best), ours(Brotli, Fast),
}

const waysOfCoding = 3

func ours(c Coding, l Level) way {
	return way{fmt.Sprintf("%v, %v", c, l), func(_ string, src []byte) (int, time.Duration, error) {
		start := processorTime()
		coded := Append(nil, src, c, l)
		return len(coded), processorTime() - start, nil
	}}
}

func tool(name string, args ...string) way {
	return way{name + " " + strings.Join(args, " "), func(file string, _ []byte) (int, time.Duration, error) {
		return run(name, append(args, "-c", file)...)
	}}
}

// run returns the length of what a tool prints, and the time it takes on a processor.
func run(name string, args ...string) (int, time.Duration, error) {
	var out bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stdout = &out
	err := cmd.Run()
	if err != nil {
		return 0, 0, err
	}
	return out.Len(), cmd.ProcessState.UserTime(), nil
}

func processorTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano())
}

// measurement is what became of the files of a set, by way.
type measurement struct {
	set   string
	files int
	plain int
	sizes []int // 0: the tool is not here
	cpu   []time.Duration
}

func measure(t *testing.T, set string, files []string) measurement {
	m := measurement{set: set, files: len(files), sizes: make([]int, len(ways)), cpu: make([]time.Duration, len(ways))}
	missing := make([]bool, len(ways))
	for _, file := range files {
		src := readFile(t, file)
		m.plain += len(src)
		for i, w := range ways {
			size, cpu, err := w.encode(file, src)
			missing[i] = missing[i] || err != nil
			m.sizes[i] += size
			m.cpu[i] += cpu
		}
	}
	for i := range ways {
		if missing[i] {
			t.Logf("NOT RUN: %s of %s", ways[i].name, set)
			m.sizes[i] = 0
		}
	}
	return m
}

func printSizes(all []measurement) {
	fmt.Print("\n| | files | plain |")
	for _, w := range ways {
		fmt.Printf(" %s |", w.name)
	}
	fmt.Print("\n", strings.Repeat("|---", len(ways)+3), "|\n")
	for _, m := range all {
		fmt.Printf("| %s | %d | %d |", m.set, m.files, m.plain)
		for i, size := range m.sizes {
			first := m.sizes[i/waysOfCoding*waysOfCoding]
			switch {
			case size == 0:
				fmt.Print(" |")
			case i%waysOfCoding == 1 && first > 0:
				fmt.Printf(" %d (%+.1f %%) |", size, 100*float64(size)/float64(first)-100)
			default:
				fmt.Printf(" %d |", size)
			}
		}
		fmt.Println()
	}
}

func printCosts(all []measurement) {
	fmt.Print("\n| | of plain | MB a second of a processor |\n|---|---|---|\n")
	for i, w := range ways {
		var plain, size int
		var cpu time.Duration
		for _, m := range all {
			plain, size, cpu = plain+m.plain, size+m.sizes[i], cpu+m.cpu[i]
		}
		fmt.Printf("| %s | %.1f %% | %.1f |\n", w.name, 100*float64(size)/float64(plain), float64(plain)/1e6/cpu.Seconds())
	}
}

// printDeltas tells every file that has an older version as a delta.
func printDeltas(t *testing.T, folder, olds string) {
	fmt.Print("\n| | plain | br, best | dcz, best | dcz, fast | in ms | zstd -9 --patch-from |\n|---|---|---|---|---|---|---|\n")
	for _, oldFile := range textOf(t, olds) {
		name := strings.TrimPrefix(oldFile, olds)
		file, old := filepath.Join(folder, name), readFile(t, oldFile)
		src, err := os.ReadFile(file)
		if err != nil || bytes.Equal(old, src) || !CanDelta(int64(len(old)), int64(len(src))) {
			continue
		}
		h := HashOf(old)
		fast, took := timed(func() []byte { return (*Meter)(nil).AppendDelta(nil, src, old, h, Fast) })
		best := (*Meter)(nil).AppendDelta(nil, src, old, h, Best)
		reference, _, _ := run("zstd", "-q", "-9", "-c", "--patch-from", oldFile, file)
		fmt.Printf("| %s | %d | %d | %d | %d | %.1f | %d |\n", name, len(src), len(Append(nil, src, Brotli, Best)),
			len(best), len(fast), took.Seconds()*1000, reference)
	}
}

// timed repeats what takes less than the kernel counts in.
func timed(f func() []byte) (result []byte, each time.Duration) {
	start, times := processorTime(), 0
	for ; processorTime()-start < 100*time.Millisecond; times++ {
		result = f()
	}
	return result, (processorTime() - start) / time.Duration(times)
}

var textExtensions = []string{".html", ".css", ".js", ".cjs", ".svg", ".json"}

// maxOfSet bounds how much is measured of one set: Brotli at 11 takes seconds for a megabyte.
const maxOfSet = 4 << 20

// textOf returns the files below a folder that are worth encoding, evenly chosen so that they are not too much together.
func textOf(t *testing.T, folder string) []string {
	var files []string
	total := int64(0)
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !slices.Contains(textExtensions, filepath.Ext(path)) {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Size() >= 512 {
			files, total = append(files, path), total+info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	every := int(total/maxOfSet) + 1
	var some []string
	for i := 0; i < len(files); i += every {
		some = append(some, files[i])
	}
	return some
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
