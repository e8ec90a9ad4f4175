package service_test

import (
	"bytes"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/service"
)

// The installed file means the defaults as it stands, and with every setting
// taken out of its comment, which are all there are.
func TestDefaultFileIsTheDefault(t *testing.T) {
	want := service.DefaultConfig()
	setting := regexp.MustCompile(`(?m)^#([a-z_]+ = )`)
	for what, text := range map[string]string{"as installed": service.DefaultFile, "uncommented": setting.ReplaceAllString(service.DefaultFile, "$1"), "empty": ""} {
		got, err := service.ParseConfig(text)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", what, d)
		}
	}
	named := map[string]bool{}
	for _, m := range setting.FindAllStringSubmatch(service.DefaultFile, -1) {
		named[strings.TrimSuffix(m[1], " = ")] = true
	}
	for f := range reflect.TypeFor[service.Config]().Fields() {
		if name := f.Tag.Get("toml"); name != "-" && !named[name] {
			t.Errorf("guestctld.toml does not speak of %s", name)
		}
	}
}

func TestConfigIsPrintedAsItIsRead(t *testing.T) {
	c := service.DefaultConfig()
	c.Images, c.IdleAfter, c.Jobs = []string{"/vm with, odd \"name"}, service.Duration(90*time.Second), 7
	var b bytes.Buffer
	must(t, c.Print(&b))
	got, err := service.ParseConfig(b.String())
	must(t, err)
	if d := cmp.Diff(c, got); d != "" {
		t.Errorf("%s(-want +got):\n%s", &b, d)
	}
	if !strings.Contains(b.String(), `idle_after = "1m30s"`) || !strings.Contains(b.String(), `open_timeout = "1m"`) {
		t.Errorf("it is printed as\n%s", &b)
	}
}

// What can change does, what cannot is named and stays, and a wrong
// configuration changes nothing.
func TestReload(t *testing.T) {
	images := t.TempDir()
	d := start(t)
	next := service.DefaultConfig()
	next.Images, next.MaxImages, next.Isolation, next.Group = []string{images}, 1, "shared", "0"
	changed, later, err := d.broker.Reload(next)
	must(t, err)
	if d := cmp.Diff([][]string{{"images", "max_images"}, {"isolation", "group", "audit"}}, [][]string{changed, later}); d != "" {
		t.Errorf("changed, and later (-want +got):\n%s", d)
	}
	attach(t, d, smallIn(t, images))
	_, err = d.Attach(t.Context(), api.Attach{Images: []api.ImageSpec{{Path: small(t)}}})
	wantCode(t, err, api.CodeBusy)
	for _, c := range []func(*service.Config){
		func(c *service.Config) { c.Jobs = 0 },
		func(c *service.Config) { c.Keys = []string{"all:file:/nothing/there"} },
	} {
		wrong := next
		wrong.MaxImages = 4096
		c(&wrong)
		if _, _, err := d.broker.Reload(wrong); err == nil {
			t.Error("a wrong configuration is taken")
		}
	}
	_, err = d.Attach(t.Context(), api.Attach{Images: []api.ImageSpec{{Path: small(t)}}})
	wantCode(t, err, api.CodeBusy)
	changed, later, err = d.broker.Reload(next)
	must(t, err)
	if len(changed) != 0 || len(later) != 3 {
		t.Errorf("the same again changes %q, and later %q", changed, later)
	}
}
