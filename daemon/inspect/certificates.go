package inspect

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/guestctl/guestctl/daemon/api"
	"github.com/guestctl/guestctl/daemon/inspect/look"
)

// Bounds.
const (
	maxCertificates = 500
	maxChain        = 16 // certificates of one file; what has more is a trust store
	maxNames        = 100
)

// certificateDirs are where services have their certificates, a * standing for
// one name.
func certificateDirs() []string {
	return []string{"/etc/letsencrypt/live/*", "/etc/pki/tls/certs", "/etc/pki/tls/private", "/etc/ssl", "/etc/ssl/certs", "/etc/ssl/private", "/etc/nginx", "/etc/nginx/*", "/etc/apache2", "/etc/apache2/*",
		"/etc/httpd", "/etc/httpd/*", "/etc/haproxy", "/etc/haproxy/*", "/etc/postfix", "/etc/dovecot", "/etc/dovecot/private", "/etc/kubernetes/pki", "/etc/kubernetes/pki/etcd", "/etc/docker", "/usr/local/etc/ssl", "/usr/local/etc/nginx"}
}

// certificates reads the PEM files in those folders. Links in /etc/ssl/certs are
// those of the trust store. more says that some were left out.
func (r *report) certificates() (list []api.Certificate, more bool) {
	for _, pattern := range certificateDirs() {
		dirs := []string{pattern}
		if above, ok := strings.CutSuffix(pattern, "/*"); ok {
			dirs = r.fs.Glob(r.ctx, above, "*")
		}
		for _, dir := range dirs {
			names, _ := r.fs.Names(r.ctx, dir)
			for _, name := range names {
				switch path.Ext(name) {
				case ".pem", ".crt", ".cer", ".cert":
					list = append(list, r.certificatesIn(dir+"/"+name)...)
				}
				if len(list) > maxCertificates {
					return list[:maxCertificates], true
				}
			}
		}
	}
	return list, false
}

// certificatesIn reads the certificates of one file; keys and what is damaged are
// passed over.
func (r *report) certificatesIn(file string) []api.Certificate {
	if a, err := r.fs.Lstat(r.ctx, file); err != nil || a.Mode&syscall.S_IFMT == syscall.S_IFLNK && strings.HasPrefix(file, "/etc/ssl/") {
		return nil
	}
	rest, err := r.fs.Read(r.ctx, file, look.MaxText)
	if err != nil {
		return nil
	}
	var list []api.Certificate
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return list
		}
		if block.Type != "CERTIFICATE" && block.Type != "TRUSTED CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			continue
		}
		if len(list) == maxChain {
			return nil
		}
		sum := sha256.Sum256(c.Raw)
		one := api.Certificate{Subject: look.Clean(c.Subject.String()), Issuer: look.Clean(c.Issuer.String()), NotBefore: c.NotBefore.UTC().Format(time.RFC3339), NotAfter: c.NotAfter.UTC().Format(time.RFC3339),
			CA: c.IsCA, SHA256: hex.EncodeToString(sum[:]), Source: look.Clean(file)}
		names := slices.Clone(c.DNSNames)
		for _, ip := range c.IPAddresses {
			names = append(names, ip.String())
		}
		for _, n := range names[:min(len(names), maxNames)] {
			one.Names = append(one.Names, look.Clean(n))
		}
		list = append(list, one)
	}
}
