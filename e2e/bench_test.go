package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestBenchmarks measures the promises of docs/benchmarks.md on the machine it runs on, and prints figures
// and ratios. It judges nothing, and runs only when asked: `make bench` sets CUPOLA_BENCH.
func TestBenchmarks(t *testing.T) {
	if os.Getenv("CUPOLA_BENCH") == "" {
		t.Skip("figures are printed by `make bench`")
	}
	t.Run("push", benchPush)
	t.Run("idle", benchIdle)
	t.Run("rolling", benchRolling)
	t.Run("store", benchStore)
	t.Run("space", benchSpace)
	t.Run("crowd", benchCrowd)
	t.Run("service", benchService)
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

func spread(d []time.Duration) string {
	slices.Sort(d)
	return fmt.Sprintf("median %.2f s (%.2f to %.2f, n=%d)", d[len(d)/2].Seconds(), d[0].Seconds(), d[len(d)-1].Seconds(), len(d))
}

// benchPush changes one file and waits for the new answer, ours and pack's in turn.
func benchPush(t *testing.T) {
	u := newUser(t, shared)
	dir, app := sample(t, "node"), host(t, "push")
	push := func(version string) (time.Duration, string) {
		writeFile(t, filepath.Join(dir, "version.txt"), version+"\n")
		began := time.Now()
		r := u.try("push", app, "-p", dir, "-f", filepath.Join(dir, "manifest.yml"))
		if r.code != 0 {
			t.Fatalf("push: %s", r.all())
		}
		u.untilVersion(app, version)
		return time.Since(began), r.err
	}
	first, _ := push("first")
	fmt.Printf("push, first (cold caches of the app): %.2f s\n", first.Seconds())
	builder := os.Getenv("CUPOLA_BENCH_PACK_BUILDER")
	_, errPack := exec.LookPath("pack")
	with := builder != "" && errPack == nil
	if with {
		packBuild(t, dir, builder)
	}
	var ours, theirs []time.Duration
	var last string
	for n := range 7 {
		took, out := push(fmt.Sprintf("v%d", n))
		ours, last = append(ours, took), out
		if with {
			theirs = append(theirs, packPush(t, dir, builder, fmt.Sprintf("p%d", n)))
		}
	}
	fmt.Printf("push, one file changed, typed to answered: %s\n", spread(ours))
	for _, line := range phaseLines(last) {
		fmt.Println("  ", line)
	}
	u.printBuildPhases()
	if !with {
		fmt.Println("   no comparison: put `pack` on PATH and name a builder with the same contents in CUPOLA_BENCH_PACK_BUILDER")
		return
	}
	fmt.Printf("pack build and docker run, typed to answered: %s\n", spread(theirs))
	fmt.Printf("ratio: %.2f\n", median(ours).Seconds()/median(theirs).Seconds())
}

// untilVersion asks without a pause until the app answers with the version.
func (u *user) untilVersion(app, version string) {
	u.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for time.Now().Before(deadline) {
		if _, body, err := u.get(app, "/version"); err == nil && strings.TrimSpace(body) == version {
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
	u.t.Fatalf("version %s never answered", version)
}

// phaseLines are the lines of a push's output that say how long a phase took.
func phaseLines(out string) []string {
	timed := regexp.MustCompile(`\d+(\.\d+)? ?m?s\b`)
	var lines []string
	for _, l := range strings.Split(out, "\n") {
		if timed.MatchString(l) {
			lines = append(lines, strings.TrimSpace(l))
		}
	}
	return lines[max(0, len(lines)-8):]
}

// printBuildPhases shows what the server said of the last build.
func (u *user) printBuildPhases() {
	raw, err := os.ReadFile(u.log.Name())
	if err != nil {
		return
	}
	var last string
	for _, l := range strings.Split(string(raw), "\n") {
		if strings.Contains(l, `"build staged"`) {
			last = l
		}
	}
	if _, phases, ok := strings.Cut(last, `"phases":"`); ok {
		phases, _, _ = strings.Cut(phases, `"`)
		fmt.Println("   build:", phases)
	}
}

const packImage = "cupola-bench-app"

func packBuild(t *testing.T, dir, builder string) {
	t.Helper()
	args := []string{"build", packImage, "--path", dir, "--builder", builder, "--trust-builder", "--pull-policy", "never", "--quiet"}
	cmd := exec.Command("pack", append(args, strings.Fields(os.Getenv("CUPOLA_BENCH_PACK_ARGS"))...)...)
	cmd.Env = append(os.Environ(), "PACK_VOLUME_KEY=cupola-bench") // the same cache each time
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("pack build: %v\n%s", err, out)
	}
}

// packPush is what somebody without a platform does: build, replace the container, ask.
func packPush(t *testing.T, dir, builder, version string) time.Duration {
	t.Helper()
	writeFile(t, filepath.Join(dir, "version.txt"), version+"\n")
	ports, err := freePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	packBuild(t, dir, builder)
	run := exec.Command("docker", "run", "--detach", "--rm", "--publish", ports[0]+":8080", "--env", "PORT=8080", packImage)
	out, err := run.CombinedOutput()
	if err != nil {
		t.Fatalf("docker run: %v\n%s", err, out)
	}
	id := strings.TrimSpace(string(out))
	defer func() { _ = exec.Command("docker", "kill", id).Run() }()
	for range 3000 {
		resp, err := http.Get("http://" + ports[0] + "/version")
		if err == nil {
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if strings.TrimSpace(string(body)) == version {
				return time.Since(began)
			}
		}
		time.Sleep(2 * time.Millisecond)
	}
	t.Fatal("the container of pack's image never answered")
	return 0
}

// benchIdle reads the server's memory and CPU with ten apps that nobody asks.
func benchIdle(t *testing.T) {
	p := own(t)
	u := newUser(t, p)
	dir := sample(t, "static")
	for n := range 10 {
		u.must("push", fmt.Sprintf("idle-%d", n), "-p", dir, "--no-manifest", "-m", "32M")
	}
	report := func(name string) {
		time.Sleep(20 * time.Second)
		before := p.cpuTime(t)
		time.Sleep(30 * time.Second)
		used := p.cpuTime(t) - before
		fmt.Printf("idle, 10 apps, %s: %.1f MB resident, %.2f%% of a core over 30 s\n", name, p.residentMB(t), 100*used.Seconds()/30)
	}
	report("after pushing them")
	if err := p.stop(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	p.boot(t)
	fmt.Printf("restart to ready, 10 apps: %.2f s\n", time.Since(began).Seconds())
	report("after a restart")
}

func (p *platform) residentMB(t *testing.T) float64 {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range strings.Split(string(raw), "\n") {
		if f := strings.Fields(l); len(f) > 1 && f[0] == "VmRSS:" {
			kb, _ := strconv.Atoi(f[1])
			return float64(kb) / 1024
		}
	}
	t.Fatal("no VmRSS")
	return 0
}

func (p *platform) cpuTime(t *testing.T) time.Duration {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond // a tick is 1/100 s on Linux
}

// benchRolling counts failures under 200 requests a second while a new version rolls out.
func benchRolling(t *testing.T) {
	u := newUser(t, shared)
	dir, app := sample(t, "node"), host(t, "load")
	u.must("push", app, "-p", dir, "-f", filepath.Join(dir, "manifest.yml"), "-i", "2")
	total, failed, why := u.underLoad(app, func() {
		for n := range 3 {
			writeFile(t, filepath.Join(dir, "version.txt"), fmt.Sprintf("r%d\n", n))
			u.must("push", app, "-p", dir, "-f", filepath.Join(dir, "manifest.yml"))
		}
	})
	fmt.Printf("rolling push, three times, 2 instances, 200 requests/s: %d of %d requests failed %s\n", failed, total, why)
}

// benchStore fills a platform with 10,000 apps through its API and asks for a late page and for a name.
func benchStore(t *testing.T) {
	p := own(t)
	u := newUser(t, p)
	const apps = 10000
	began := time.Now()
	u.createApps(apps)
	fmt.Printf("10,000 apps created through the API in %.0f s\n", time.Since(began).Seconds())
	token := strings.TrimSpace(u.must("oauth-token"))
	for _, q := range []struct{ name, path string }{
		{"page 100 of 50", "/v3/apps?per_page=50&page=100"},
		{"by name", "/v3/apps?names=app-7777"},
	} {
		var took []time.Duration
		for range 101 {
			took = append(took, p.timed(t, q.path, token))
		}
		slices.Sort(took)
		fmt.Printf("GET %s (%s): median %.2f ms, 99th percentile %.2f ms\n", q.path, q.name, ms(median(took)), ms(took[len(took)-2]))
	}
	if err := p.stop(); err != nil {
		t.Fatal(err)
	}
	began = time.Now()
	p.boot(t)
	fmt.Printf("restart to ready, 10,000 apps: %.2f s\n", time.Since(began).Seconds())
	benchPages(t, p)
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (p *platform) timed(t *testing.T, path, token string) time.Duration {
	t.Helper()
	began := time.Now()
	resp, err := p.withToken(token, path)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s = %s", path, resp.Status)
	}
	return time.Since(began)
}

// createApps makes empty apps in the user's space, eight at a time.
func (u *user) createApps(n int) {
	u.t.Helper()
	var spaces struct{ Resources []struct{ GUID, Name string } }
	u.curl("/v3/spaces?order_by=-created_at", &spaces)
	space := spaces.Resources[0].GUID
	token := strings.TrimSpace(u.must("oauth-token"))
	work := make(chan int)
	errs := make(chan error, 8)
	for range 8 {
		go func() {
			var err error
			for i := range work {
				if err == nil {
					err = u.createApp(fmt.Sprintf("app-%d", i), space, token)
				}
			}
			errs <- err
		}()
	}
	for i := range n {
		work <- i
	}
	close(work)
	for range 8 {
		if err := <-errs; err != nil {
			u.t.Fatal(err)
		}
	}
}

func (u *user) createApp(name, space, token string) error {
	body := fmt.Sprintf(`{"name":%q,"relationships":{"space":{"data":{"guid":%q}}}}`, name, space)
	req, err := http.NewRequest(http.MethodPost, u.url("api", "/v3/apps"), strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := u.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		raw, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("create %s: %s %s", name, resp.Status, raw)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}
