package inspect

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/guestctl/guestctl/tests/images"
)

// TestCertificates says of a certificate what openssl says.
func TestCertificates(t *testing.T) {
	images.NeedTool(t, "openssl")
	dir := t.TempDir()
	file := filepath.Join(dir, "cert.pem")
	if out, err := exec.Command("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", filepath.Join(dir, "key.pem"), "-out", file, "-days", "30",
		"-subj", "/O=Example/CN=www.example.com", "-addext", "subjectAltName=DNS:www.example.com,IP:192.0.2.1").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(filepath.Join(dir, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("openssl", "x509", "-in", file, "-noout", "-fingerprint", "-sha256", "-enddate").Output()
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]string{}
	for line := range strings.Lines(string(out)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		said[name] = value
	}
	s := inspectOne(t, with(linuxRoot, "etc/letsencrypt/archive/x/cert1.pem", string(b), "etc/letsencrypt/live/x/cert.pem", "->../../archive/x/cert1.pem", "etc/letsencrypt/live/x/privkey.pem", string(key),
		"etc/nginx/ssl/both.pem", string(key)+string(b), "etc/ssl/certs/link.pem", "->/etc/letsencrypt/live/x/cert.pem", "etc/ssl/certs/ca-certificates.crt", strings.Repeat(string(b), maxChain+1), "etc/ssl/broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	if len(s.Certificates) != 2 {
		t.Fatalf("%+v", s.Certificates)
	}
	end, err := time.Parse("Jan _2 15:04:05 2006 MST", said["notAfter"])
	if err != nil {
		t.Fatal(err)
	}
	for i, source := range []string{"/etc/letsencrypt/live/x/cert.pem", "/etc/nginx/ssl/both.pem"} {
		c := s.Certificates[i]
		if c.Subject != "CN=www.example.com,O=Example" || c.Issuer != c.Subject || strings.Join(c.Names, " ") != "www.example.com 192.0.2.1" || c.Source != source || !c.CA || c.NotAfter != end.UTC().Format(time.RFC3339) ||
			c.SHA256 != strings.ToLower(strings.ReplaceAll(said["sha256 Fingerprint"], ":", "")) {
			t.Errorf("%+v, openssl says %v", c, said)
		}
	}
	checkClean(t, s)
}
