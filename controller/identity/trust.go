package identity

import (
	"crypto/sha1" // not for security: it is how OpenSSL names files
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"strings"
)

// trustDir holds the platform's local CA alone, in files that OpenSSL finds by their names. The CA of instances is not
// in it: it vouches for callers, not for names.
const trustDir = systemCertDir + "/platform"

const trustedFile = systemCertDir + "/platform-ca.crt"

// TrustEnv are the variables by which programs in containers trust certificates of the platform's local CA, besides
// those that their image trusts: OpenSSL, Go and what is built on them read the first, Node.js the second.
func TrustEnv() map[string]string {
	return map[string]string{
		"SSL_CERT_DIR":        "/etc/ssl/certs:/etc/pki/tls/certs:" + trustDir,
		"NODE_EXTRA_CA_CERTS": trustedFile,
	}
}

// trustFiles are the certificates of a PEM text, for trustDir.
func trustFiles(text []byte) map[string][]byte {
	files := map[string][]byte{}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			continue
		}
		hash, err := subjectHash(cert)
		if err != nil {
			continue
		}
		for n := 0; ; n++ {
			name := fmt.Sprintf("%s/%08x.%d", trustDir, hash, n)
			if _, taken := files[name]; !taken {
				files[name] = pem.EncodeToMemory(block)
				break
			}
		}
	}
	return files
}

// subjectHash is what OpenSSL (since 1.0) names the file of a CA by: the first bytes of the SHA-1 of the subject, whose
// values are in lower case, without blanks at the ends and with single ones inside.
func subjectHash(cert *x509.Certificate) (uint32, error) {
	var subject []asn1.RawValue
	if _, err := asn1.Unmarshal(cert.RawSubject, &subject); err != nil {
		return 0, err
	}
	var canonical []byte
	for _, set := range subject {
		var pairs []attribute
		if _, err := asn1.UnmarshalWithParams(set.FullBytes, &pairs, "set"); err != nil {
			return 0, err
		}
		for i := range pairs {
			text := strings.ToLower(strings.Join(strings.Fields(string(pairs[i].Value.Bytes)), " "))
			pairs[i].Value = asn1.RawValue{Tag: asn1.TagUTF8String, Bytes: []byte(text)}
		}
		der, err := asn1.MarshalWithParams(pairs, "set")
		if err != nil {
			return 0, err
		}
		canonical = append(canonical, der...)
	}
	sum := sha1.Sum(canonical)
	return binary.LittleEndian.Uint32(sum[:]), nil
}

// attribute is one part of a subject (RFC 5280 4.1.2.4).
type attribute struct {
	Type  asn1.ObjectIdentifier
	Value asn1.RawValue
}
