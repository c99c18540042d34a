package remote

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"net"
	"strings"

	"golang.org/x/crypto/ssh"
)

// checkKey compares a host key with a fingerprint, whose form is known by its length: SHA-256 in base64 (43
// characters, also after "SHA256:") or hex (64), SHA-1 (59) or MD5 (47) as hex pairs with colons.
func checkKey(fingerprint string) ssh.HostKeyCallback {
	want := strings.TrimRight(strings.TrimPrefix(fingerprint, "SHA256:"), "=")
	return func(_ string, _ net.Addr, key ssh.PublicKey) error {
		got := ""
		switch raw := key.Marshal(); len(want) {
		case 43:
			sum := sha256.Sum256(raw)
			got = base64.RawStdEncoding.EncodeToString(sum[:])
		case 64:
			sum := sha256.Sum256(raw)
			got = hex.EncodeToString(sum[:])
		case 59:
			sum := sha1.Sum(raw)
			got = pairs(sum[:])
		case 47:
			sum := md5.Sum(raw)
			got = pairs(sum[:])
		}
		if got == "" || subtle.ConstantTimeCompare([]byte(got), []byte(want)) != 1 {
			return ErrHostKey
		}
		return nil
	}
}

// pairs is such as 0a:ff.
func pairs(sum []byte) string {
	text := make([]string, len(sum))
	for i, b := range sum {
		text[i] = hex.EncodeToString([]byte{b})
	}
	return strings.Join(text, ":")
}
