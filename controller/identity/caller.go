package identity

import (
	"crypto/x509"
	"strings"
)

// Roots are the CAs to verify instances by at this moment.
func (i *Issuer) Roots() *x509.CertPool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.roots
}

// Of reads whose certificate it is that a CA of ours has signed; ok is false for one that is of no instance, such as
// that of a server.
func Of(cert *x509.Certificate) (who Instance, ok bool) {
	who.GUID = cert.Subject.CommonName
	for _, unit := range cert.Subject.OrganizationalUnit {
		kind, guid, _ := strings.Cut(unit, ":")
		field := map[string]*string{"organization": &who.OrgGUID, "space": &who.SpaceGUID, "app": &who.AppGUID}[kind]
		if field == nil || *field != "" {
			return Instance{}, false
		}
		*field = guid
	}
	return who, who.AppGUID != "" && who.SpaceGUID != "" && who.OrgGUID != ""
}
