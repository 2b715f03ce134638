import FleetTestSupport
import Foundation
import Testing

@testable import FleetSSH

struct PrivateKeyTests {
    @Test(arguments: [
        "aes256-ctr", "aes256-cbc", "aes128-gcm@openssh.com", "aes256-gcm@openssh.com",
    ])
    func opensOpenSSHKeysWithTheirPassphrase(_ cipher: String) throws {
        let directory = try TemporaryDirectory()
        // One round: the derivation is the same, and a debug build is slow.
        try Command.shell(
            "ssh-keygen -q -t ed25519 -a 1 -Z \(cipher) -N 'pass wörd' -f key",
            in: directory.path
        )
        let text = try #require(directory.read("key"))
        let key = try PrivateKey.read(text, passphrase: "pass wörd")
        #expect(PrivateKey.publicBlob(of: text) == key.publicBlob)
        #expect([1, 2, 3].withUnsafeBytes { key.sign($0, digest: nil) }?.count == 64)
        #expect(throws: PrivateKey.Unusable.wrongPassphrase) {
            try PrivateKey.read(text, passphrase: "wrong")
        }
    }

    @Test(arguments: ["PEM", "PKCS8"]) func opensEncryptedPEM(_ format: String) throws {
        let directory = try TemporaryDirectory()
        try Command.shell(
            "ssh-keygen -q -t ecdsa -m \(format) -N secret -f key",
            in: directory.path
        )
        let text = try #require(directory.read("key"))
        #expect(throws: PrivateKey.Unusable.locked) { try PrivateKey.read(text) }
        #expect(throws: PrivateKey.Unusable.wrongPassphrase) {
            try PrivateKey.read(text, passphrase: "wrong")
        }
        let key = try PrivateKey.read(text, passphrase: "secret")
        #expect(key.kind == .ecdsa(curve: "nistp256", digest: "SHA256"))
    }

    @Test func aFileThatAsksForEndlessRoundsIsRefused() {
        #expect(BcryptPBKDF.derive(passphrase: [1], salt: [1], rounds: 1 << 30, count: 48) == nil)
        #expect(BcryptPBKDF.derive(passphrase: [1], salt: [], rounds: 1, count: 48) == nil)
    }

    @Test(arguments: ["ed25519", "ecdsa -b 256", "ecdsa -b 384", "ecdsa -b 521", "rsa -b 2048"])
    func readsEveryFormatAlike(_ type: String) throws {
        let directory = try TemporaryDirectory()
        try Command.shell("ssh-keygen -q -t \(type) -N '' -f key", in: directory.path)
        let published = try #require(
            Data(base64Encoded: String((directory.read("key.pub") ?? "").split(separator: " ")[1]))
        )
        var texts = [try #require(directory.read("key"))]
        // OpenSSH writes other formats for all but Ed25519; OpenSSL can write that one.
        if type != "ed25519" {
            for format in ["PEM", "PKCS8"] {
                try Command.shell(
                    "cp key \(format); ssh-keygen -q -p -N '' -m \(format) -f \(format)",
                    in: directory.path
                )
                texts.append(try #require(directory.read(format)))
            }
        }
        for text in texts {
            let key = try PrivateKey.read(text)
            #expect(key.publicBlob == Array(published))
            let signature = [UInt8]("data".utf8).withUnsafeBytes {
                key.sign($0, digest: type == "ed25519" ? nil : "SHA256")
            }
            #expect(signature != nil)
        }
    }

    @Test func saysWhatToDoAboutAPassphrase() throws {
        let directory = try TemporaryDirectory()
        try Command.shell("ssh-keygen -q -t ed25519 -N secret -f key", in: directory.path)
        let text = try #require(directory.read("key"))
        let error = #expect(throws: PrivateKey.Unusable.self) { try PrivateKey.read(text) }
        #expect(error == .locked)
    }

    @Test(arguments: [
        "", "nonsense",
        "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
    ])
    func refusesWhatIsNoKey(_ text: String) {
        #expect(throws: PrivateKey.Unusable.self) { try PrivateKey.read(text) }
    }
}
