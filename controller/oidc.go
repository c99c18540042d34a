package controller

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/cupola-paas/cupola/controller/auth"
)

// OIDC is the identity provider whose users may sign in; without an Issuer there is none.
type OIDC struct {
	Issuer        string   // URL, of HTTPS
	ClientID      string   // as which this platform is registered there
	ClientSecret  string   // empty: a public client, which proves itself by PKCE alone
	Name          string   // origin of its users; empty: oidc
	Label         string   // on the sign-in button; empty: Name
	Scopes        []string // asked for besides openid; empty: email and profile
	UsernameClaim string   // empty: email
	GroupsClaim   string   // empty: groups
	Groups        []string // GROUP=SCOPE or GROUP=ROLE:ORG[/SPACE] each
	RootFile      string   // PEM file with the CA that the provider's certificate chains to; empty: the system's
}

// providers are the identity providers of the configuration: one or none.
func (o OIDC) providers() ([]auth.Provider, error) {
	if o.Issuer == "" {
		if o.ClientID != "" || o.ClientSecret != "" || o.Name != "" || len(o.Groups) > 0 {
			return nil, fmt.Errorf("--oidc-issuer is missing: the other --oidc flags say nothing without it")
		}
		return nil, nil
	}
	p := auth.Provider{Name: o.Name, Label: o.Label, Issuer: o.Issuer, ClientID: o.ClientID, ClientSecret: o.ClientSecret,
		Scopes: o.Scopes, UsernameClaim: o.UsernameClaim, GroupsClaim: o.GroupsClaim, Groups: map[string][]string{}}
	for _, g := range o.Groups {
		i := strings.LastIndexByte(g, '=')
		if i <= 0 || i == len(g)-1 {
			return nil, fmt.Errorf("--oidc-group %q is neither GROUP=SCOPE nor GROUP=ROLE:ORG[/SPACE]: give one such as platform-team=%s", g, auth.AdminGroup)
		}
		p.Groups[g[:i]] = append(p.Groups[g[:i]], g[i+1:])
	}
	if err := p.Validate(); err != nil {
		return nil, err
	}
	var err error
	p.Client, err = o.client()
	return []auth.Provider{p}, err
}

// client reaches the provider by way of the proxy of the environment, if any.
func (o OIDC) client() (*http.Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if o.RootFile != "" {
		pem, err := os.ReadFile(o.RootFile)
		if err != nil {
			return nil, fmt.Errorf("--oidc-ca: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--oidc-ca: %s holds no certificate in PEM form", o.RootFile)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}, nil
}
