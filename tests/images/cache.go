package images

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

//go:embed recipes/*.sh
var recipes embed.FS

// A recipe is one image to make.
type recipe struct {
	name   string        // of the image; unique
	script string        // recipes/<script>.sh
	ext    string        // of the file name
	env    []string      // NAME=value, what the script's variables are; part of the version
	base   *recipe       // its file is the script's $BASE; part of the version
	tools  []string      // programs the script calls beside coreutils and util-linux
	limit  time.Duration // the script is killed after it; 0 is ten minutes
}

// Dir is the folder of the cached images.
func Dir() (string, error) {
	root := os.Getenv("GUESTCTL_CACHE")
	if root == "" {
		cache, err := os.UserCacheDir() // $XDG_CACHE_HOME, else $HOME/.cache
		if err != nil {
			return "", fmt.Errorf("where to keep test images: %w (set GUESTCTL_CACHE)", err)
		}
		root = filepath.Join(cache, "guestctl")
	}
	return filepath.Join(root, "images"), nil
}

// version hashes all that the image depends on.
func (r *recipe) version() (string, error) {
	h := sha256.New()
	lib, err := recipes.ReadFile("recipes/lib.sh")
	if err != nil {
		return "", err
	}
	own, err := recipes.ReadFile("recipes/" + r.script + ".sh")
	if err != nil {
		return "", err
	}
	// A recipe depends on those functions of lib.sh that it calls; a debootstrap is not run again for another's change.
	for _, f := range functions(string(lib)) {
		if regexp.MustCompile(`(?m)(^|[\s;])` + f.name + `($|\s)`).Match(own) {
			h.Write([]byte(f.body))
		}
	}
	h.Write(own)
	for _, e := range r.env {
		fmt.Fprintln(h, e)
	}
	if r.base != nil {
		v, err := r.base.version()
		if err != nil {
			return "", err
		}
		fmt.Fprintln(h, v)
	}
	return hex.EncodeToString(h.Sum(nil))[:12], nil
}

type function struct{ name, body string }

// functions splits a shell library into its functions: each starts with "name() {" in the first column and ends with
// "}" in the first column.
func functions(lib string) []function {
	var all []function
	for {
		start := strings.Index(lib, "() {\n")
		if start < 0 {
			return all
		}
		line := strings.LastIndexByte(lib[:start], '\n') + 1
		end := strings.Index(lib[start:], "\n}\n")
		if end < 0 {
			return all
		}
		all = append(all, function{lib[line:start], lib[line : start+end]})
		lib = lib[start+end+2:]
	}
}

// path is where the image is kept; the file need not exist yet.
func (r *recipe) path() (string, error) {
	dir, err := Dir()
	if err != nil {
		return "", err
	}
	v, err := r.version()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, r.name+"-"+v+"."+r.ext), nil
}

// make answers the image's path, building it and what it is made from where the cache has it not.
func (r *recipe) make(t testing.TB) string {
	t.Helper()
	path, err := r.path()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		return path
	}
	NeedRoot(t)
	NeedTool(t, "unshare", "mount", "bash")
	NeedTool(t, r.tools...)
	env := r.env
	if r.base != nil {
		env = append(env[:len(env):len(env)], "BASE="+r.base.make(t))
	}
	if err := r.build(t, path, env); err != nil {
		t.Fatalf("making the test image %s: %v", r.name, err)
	}
	return path
}

// build runs the script under the image's lock.
func (r *recipe) build(t testing.TB, path string, env []string) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	lock, err := os.OpenFile(filepath.Join(dir, r.name+".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer lock.Close() // and so unlocked
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	if _, err := os.Stat(path); err == nil {
		return nil // another process made it while we waited
	}
	r.removeOld(dir)

	tmp, err := os.MkdirTemp(dir, ".tmp-"+r.name+"-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	// The file is made beside its final place, so that a relative backing file name holds.
	out := filepath.Join(dir, ".making-"+filepath.Base(path))
	os.Remove(out)
	defer os.Remove(out)

	if err := r.run(tmp, append(env, "OUT="+out, "TMP="+tmp, "CACHE="+dir)); err != nil {
		return err
	}
	if err := os.Chmod(out, 0o444); err != nil {
		return err
	}
	t.Logf("made the test image %s", path)
	return os.Rename(out, path)
}

// run runs the script in namespaces of its own; its mounts and processes end with it.
func (r *recipe) run(tmp string, env []string) error {
	lib, err := recipes.ReadFile("recipes/lib.sh")
	if err != nil {
		return err
	}
	own, err := recipes.ReadFile("recipes/" + r.script + ".sh")
	if err != nil {
		return err
	}
	script := filepath.Join(tmp, "recipe.sh")
	if err := os.WriteFile(script, append(lib, own...), 0o600); err != nil {
		return err
	}
	limit := r.limit
	if limit == 0 {
		limit = 10 * time.Minute
	}
	cmd := exec.Command("unshare", "--mount", "--propagation=private", "--pid", "--fork", "--kill-child", "--mount-proc",
		"bash", "-euo", "pipefail", script)
	cmd.Env = append(os.Environ(), env...)
	cmd.Env = append(cmd.Env, "LC_ALL=C", "TZ=UTC", "DEBIAN_FRONTEND=noninteractive",
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log, err := os.Create(filepath.Join(tmp, "recipe.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	killed := false
	timer := time.AfterFunc(limit, func() { killed = true; cmd.Process.Kill() })
	err = cmd.Wait()
	timer.Stop()
	if err == nil {
		return nil
	}
	said, _ := os.ReadFile(log.Name())
	if killed {
		err = fmt.Errorf("not done after %v", limit)
	}
	return fmt.Errorf("recipes/%s.sh: %w\n%s", r.script, err, tail(string(said)))
}

// tail is the end of what a script said, without the middle of what is very long.
func tail(said string) string {
	lines := strings.Split(strings.TrimSpace(said), "\n")
	lines = lines[max(0, len(lines)-15):]
	for i, l := range lines {
		if len(l) > 300 {
			lines[i] = l[:150] + " ... " + l[len(l)-100:]
		}
	}
	return strings.Join(lines, "\n")
}

// removeOld removes what older versions of the recipe made, and what a killed one left.
func (r *recipe) removeOld(dir string) {
	for _, pattern := range []string{r.name + "-????????????." + r.ext, ".making-" + r.name + "-????????????." + r.ext, ".tmp-" + r.name + "-*"} {
		old, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		for _, path := range old {
			os.RemoveAll(path)
		}
	}
}
