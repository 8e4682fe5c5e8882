package tlsmgr

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"

	"golang.org/x/crypto/cryptobyte"
)

// Encrypted Client Hello (RFC 9849): the name a client asks for travels under a key that it found in the DNS. In the clear it
// names the public name of that key, whose certificate it is shown if the key is no longer ours.

// Numbers of an ECHConfig (RFC 9849, section 4; RFC 9180, section 7).
const (
	echVersion   = 0xfe0d
	kemX25519    = 0x0020
	kdfSHA256    = 0x0001
	aeadAES128   = 0x0001
	aeadAES256   = 0x0002
	aeadChaCha20 = 0x0003
)

// PEM labels of RFC 9934, section 3.
const (
	echConfigLabel  = "ECHCONFIG"
	privateKeyLabel = "PRIVATE KEY"
)

// openECH reads the keys of all files. Those of the first are what clients with a key that is gone are told to use.
func openECH(files []string) (keys []tls.EncryptedClientHelloKey, err error) {
	for i, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("ech: %w", err)
		}
		some, err := readECH(text)
		if err != nil {
			return nil, fmt.Errorf("ech: %s: %w", name, err)
		}
		for _, k := range some {
			k.SendAsRetry = i == 0
			keys = append(keys, k)
		}
	}
	return keys, nil
}

// readECH reads a private key and the configurations that are its own.
func readECH(text []byte) (keys []tls.EncryptedClientHelloKey, err error) {
	var private *ecdh.PrivateKey
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case privateKeyLabel:
			private, err = x25519Key(block.Bytes)
		case echConfigLabel:
			keys, err = echConfigs(block.Bytes)
		}
		if err != nil {
			return nil, err
		}
	}
	if private == nil || len(keys) == 0 {
		return nil, errors.New("want a PRIVATE KEY and an ECHCONFIG, in PEM (RFC 9934)")
	}
	public := private.PublicKey().Bytes()
	for i, k := range keys {
		if !bytes.Contains(k.Config, public) {
			return nil, fmt.Errorf("configuration %d is not of that private key", i+1)
		}
		keys[i].PrivateKey = private.Bytes()
	}
	return keys, nil
}

func x25519Key(der []byte) (*ecdh.PrivateKey, error) {
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, errors.New("the private key is no PKCS #8") // and no word of what it is
	}
	private, ok := key.(*ecdh.PrivateKey)
	if !ok || private.Curve() != ecdh.X25519() {
		return nil, errors.New("the private key is not of X25519")
	}
	return private, nil
}

// echConfigs takes an ECHConfigList apart. Those of other versions and other kinds of keys are not served.
func echConfigs(list []byte) (keys []tls.EncryptedClientHelloKey, err error) {
	broken := errors.New("the ECHConfigList is malformed (RFC 9849, section 4)")
	outer := cryptobyte.String(list)
	var configs cryptobyte.String
	if !outer.ReadUint16LengthPrefixed(&configs) || !outer.Empty() {
		return nil, broken
	}
	for !configs.Empty() {
		from := configs
		var version, kem uint16
		var id uint8
		var contents, public cryptobyte.String
		if !configs.ReadUint16(&version) || !configs.ReadUint16LengthPrefixed(&contents) {
			return nil, broken
		}
		if version != echVersion {
			continue
		}
		if !contents.ReadUint8(&id) || !contents.ReadUint16(&kem) || !contents.ReadUint16LengthPrefixed(&public) {
			return nil, broken
		}
		if kem != kemX25519 {
			return nil, errors.New("a configuration is not for X25519")
		}
		keys = append(keys, tls.EncryptedClientHelloKey{Config: from[:len(from)-len(configs)]})
	}
	return keys, nil
}

// NewECH makes a key for Encrypted Client Hello under a public name: the file that Config.ECH reads, and the ECHConfigList
// that goes into the DNS, as the ech parameter of the site's HTTPS records (RFC 9848).
func NewECH(publicName string) (file, list []byte, err error) {
	if !Orderable(publicName) {
		return nil, nil, fmt.Errorf("%q is no public name: want a host name that this node has a certificate for", publicName)
	}
	private, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	var id [1]byte
	rand.Read(id[:])
	if list, err = echConfigList(id[0], private.PublicKey().Bytes(), publicName); err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	file = pem.EncodeToMemory(&pem.Block{Type: privateKeyLabel, Bytes: der})
	return append(file, pem.EncodeToMemory(&pem.Block{Type: echConfigLabel, Bytes: list})...), list, nil
}

// echConfigList has one ECHConfig. It lets clients pad names to 64 bytes, so that their length says little.
func echConfigList(id uint8, public []byte, publicName string) ([]byte, error) {
	const longestName = 64
	var b cryptobyte.Builder
	contents := func(b *cryptobyte.Builder) {
		b.AddUint8(id)
		b.AddUint16(kemX25519)
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(public) })
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			for _, aead := range []uint16{aeadAES128, aeadAES256, aeadChaCha20} {
				b.AddUint16(kdfSHA256)
				b.AddUint16(aead)
			}
		})
		b.AddUint8(longestName)
		b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(publicName)) })
		b.AddUint16(0) // no extensions
	}
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		b.AddUint16(echVersion)
		b.AddUint16LengthPrefixed(contents)
	})
	return b.Bytes()
}
