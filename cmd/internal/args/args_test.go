package args

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var testFlags = []Flag{
	{[]string{"add", "a"}, Required},
	{[]string{"format"}, Optional},
	{[]string{"ro", "r"}, None},
	{[]string{"inspector", "i"}, None},
	{[]string{"partitions"}, None},
	{[]string{"pid-file"}, Required},
	{[]string{"keys-from-stdin"}, None},
	{[]string{"key"}, Required},
	{[]string{"z", "zip"}, Optional},
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		argv    []string
		options []Option
		args    []string
	}{
		{nil, nil, nil},
		{[]string{"image", "dir", "--ro"}, []Option{{"ro", "--ro", "", false}}, []string{"image", "dir"}},
		{[]string{"-ria", "disk,1.img", "dir"},
			[]Option{{"ro", "-r", "", false}, {"inspector", "-i", "", false}, {"add", "-a", "disk,1.img", true}}, []string{"dir"}},
		{[]string{"-adisk", "--add=", "--add", "--ro", "-a", "-r"},
			[]Option{{"add", "-a", "disk", true}, {"add", "--add", "", true}, {"add", "--add", "--ro", true}, {"add", "-a", "-r", true}}, nil},
		{[]string{"--format", "raw", "--format=qcow2", "--format="},
			[]Option{{"format", "--format", "", false}, {"format", "--format", "qcow2", true}, {"format", "--format", "", true}}, []string{"raw"}},
		{[]string{"--part", "--key", "k", "--pid", "f"},
			[]Option{{"partitions", "--part", "", false}, {"key", "--key", "k", true}, {"pid-file", "--pid", "f", true}}, nil},
		{[]string{"-", "-r", "--", "-i", "--"}, []Option{{"ro", "-r", "", false}}, []string{"-", "-i", "--"}},
		{[]string{"-z", "x", "-z9", "-rz9"},
			[]Option{{"z", "-z", "", false}, {"z", "-z", "9", true}, {"ro", "-r", "", false}, {"z", "-z", "9", true}}, []string{"x"}},
		{[]string{""}, nil, []string{""}},
	} {
		line, err := Parse(testFlags, c.argv)
		if err != nil {
			t.Errorf("%q: %v", c.argv, err)
			continue
		}
		if d := cmp.Diff(Line{c.options, c.args}, line); d != "" {
			t.Errorf("%q (-want +got):\n%s", c.argv, d)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct {
		argv []string
		want string
	}{
		{[]string{"--nonsense"}, "unknown option --nonsense"},
		{[]string{"-x"}, "unknown option -x"},
		{[]string{"-rxi"}, `unknown option -x in "-rxi"`},
		{[]string{"--ro=yes"}, "option --ro takes no value"},
		{[]string{"--add"}, "option --add needs a value"},
		{[]string{"-ra"}, "option -a needs a value"},
		{[]string{"--p"}, "option --p is ambiguous: it may be --partitions or --pid-file"},
		{[]string{"--=x"}, "unknown option --"},
		{[]string{"--a"}, "option --a needs a value"}, // the start of --add
	} {
		_, err := Parse(testFlags, c.argv)
		var usage *UsageError
		if !errors.As(err, &usage) || err.Error() != c.want {
			t.Errorf("%q: error %v, want %s", c.argv, err, c.want)
		}
	}
}

func TestReorder(t *testing.T) {
	got, err := Reorder(testFlags, []string{"image", "-ri", "dir", "--format=raw", "-a", "x=y", "--", "--odd"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"--ro", "--inspector", "--format=raw", "--add=x=y", "--", "image", "dir", "--odd"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	again, err := Reorder(testFlags, got)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, again); d != "" {
		t.Errorf("not stable: %s", d)
	}
	if _, err := Reorder(testFlags, []string{"--nope"}); err == nil {
		t.Error("an unknown option passes")
	}
}
