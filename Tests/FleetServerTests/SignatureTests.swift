import FleetServing
import FleetTestSupport
import HTTPTypes
import Testing

@testable import FleetServer

/// Signatures that openssl makes, in the forms that providers document.
struct SignatureTests {
    private static let secret = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    private let body = Array(#"{"ref":"refs/heads/main"}"#.utf8)
    private let now = 1_700_000_000_000

    private func hook(_ provider: Hook.Provider, acceptsToken: Bool = false) -> Hook {
        Hook(
            name: "app",
            provider: provider,
            secrets: [],
            acceptsToken: acceptsToken,
            repository: "x",
            project: nil,
            rules: [],
            pollMilliseconds: 1
        )
    }

    private func openssl(_ text: [UInt8], _ options: [String]) throws -> String {
        let directory = try TemporaryDirectory()
        try directory.write(String(decoding: text, as: UTF8.self), to: "text")
        return try Command.shell(
            "openssl dgst -sha256 \(options.joined(separator: " ")) <text",
            in: directory.path
        )
    }

    private func hex(_ secret: String) throws -> String {
        String(try openssl(body, ["-hmac", "'\(secret)'", "-r"]).prefix(64))
    }

    private func verify(
        _ hook: Hook,
        _ secrets: [String],
        _ headers: [(String, String)],
        at now: Int? = nil
    )
        -> Signature.Verified?
    {
        var fields = HTTPFields()
        for (name, value) in headers {
            fields.append(HTTPField(name: .known(name), value: value))
        }
        return Signature(hook: hook, secrets: secrets).verify(body, fields, at: now ?? self.now)
    }

    /// Row S1.
    @Test("GitHub's, Gitea's and Forgejo's, with the old and the new secret")
    func hexadecimal() throws {
        for (provider, name, prefix, id) in [
            (Hook.Provider.github, "X-Hub-Signature-256", "sha256=", "X-GitHub-Delivery"),
            (.gitea, "X-Gitea-Signature", "", "X-Gitea-Delivery"),
            (.forgejo, "X-Forgejo-Signature", "", "X-Forgejo-Delivery"),
            (.forgejo, "X-Gitea-Signature", "", "X-Gitea-Delivery"),
        ] {
            let right = prefix + (try hex("the old secret of it"))
            func check(_ secrets: [String], _ value: String) -> Signature.Verified? {
                verify(hook(provider), secrets, [(name, value), (id, "guid")])
            }
            #expect(check(["the old secret of it"], right)?.name == "guid")
            #expect(check(["another one", "the old secret of it"], right) != nil)
            for wrong in [
                "", prefix, String(right.dropLast()), right + "0",
                right.uppercased() == right ? "" : "x" + right,
                prefix + String(repeating: "0", count: 64), "sha1=" + right, prefix + "zz",
            ] {
                #expect(check(["the old secret of it"], wrong) == nil, "\(provider) \(wrong)")
            }
            #expect(
                check(["another one"], right) == nil && check([], right) == nil
                    && check([""], right) == nil
            )
            // Two of them: somebody has added one.
            #expect(
                verify(hook(provider), ["the old secret of it"], [(name, right), (name, right)])
                    == nil
            )
        }
        // The signature of another provider's header is none.
        let right = "sha256=" + (try hex("the old secret of it"))
        #expect(
            verify(hook(.gitea), ["the old secret of it"], [("X-Hub-Signature-256", right)]) == nil
        )
    }

    /// Row S1.
    @Test(
        "Standard Webhooks: id and time are signed, several signatures are looked at, and old ones are refused"
    )
    func standard() throws {
        let key = Self.secret.dropFirst(6)
        let bytes = try Command.shell(
            "printf %s '\(key)' | base64 -d | od -An -tx1 | tr -d ' \\n'",
            in: "/"
        )
        func signature(_ id: String, _ time: Int) throws -> String {
            let directory = try TemporaryDirectory()
            try directory.write(
                "\(id).\(time)." + String(decoding: body, as: UTF8.self),
                to: "text"
            )
            return "v1,"
                + (try Command.shell(
                    "openssl dgst -sha256 -mac HMAC -macopt hexkey:\(bytes) -binary <text | base64 -w0",
                    in: directory.path
                ))
        }
        func check(
            _ headers: [String: String],
            _ provider: Hook.Provider = .standard,
            at now: Int? = nil
        )
            -> Signature.Verified?
        {
            verify(hook(provider), [Self.secret], headers.map { ($0.key, $0.value) }, at: now)
        }
        let seconds = now / 1000
        let right = [
            "webhook-id": "msg_1", "webhook-timestamp": "\(seconds)",
            "webhook-signature": "v1,AAAA v2,xx \(try signature("msg_1", seconds))",
        ]
        #expect(check(right) == Signature.Verified(name: "msg_1", event: nil))
        #expect(check(right, .gitlab) != nil)
        for minutes in [-6, 6] { #expect(check(right, at: now + minutes * 60_000) == nil) }
        for minutes in [-4, 4] { #expect(check(right, at: now + minutes * 60_000) != nil) }
        for (name, value) in [
            ("webhook-id", "msg_2"), ("webhook-id", ""), ("webhook-timestamp", "\(seconds + 1)"),
            ("webhook-timestamp", "soon"), ("webhook-timestamp", "-9223372036854775808"),
            ("webhook-signature", ""), ("webhook-signature", "v1,"),
        ] {
            #expect(check(right.merging([name: value]) { $1 }) == nil, "\(name) \(value)")
        }
    }

    @Test("GitLab's token is a proof only where the server file says so, and then the only one")
    func token() {
        let headers = [
            ("X-Gitlab-Token", "the token of theirs"), ("X-Gitlab-Event", "Push Hook"),
            ("Idempotency-Key", "k"),
        ]
        #expect(
            verify(hook(.gitlab, acceptsToken: true), ["the token of theirs"], headers)
                == Signature.Verified(name: "k", event: "Push Hook")
        )
        #expect(verify(hook(.gitlab), ["the token of theirs"], headers) == nil)
        #expect(verify(hook(.gitlab, acceptsToken: true), ["another"], headers) == nil)
        #expect(verify(hook(.gitlab, acceptsToken: true), [""], [("X-Gitlab-Token", "")]) == nil)
    }
}
