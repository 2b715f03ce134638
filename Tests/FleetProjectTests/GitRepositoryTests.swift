import FleetTestSupport
import Foundation
import Testing

@testable import FleetProject

/// What a person's clone tells of signatures and of hotfixes, with real git and real gpg.
struct GitRepositoryTests {
    private let directory: TemporaryDirectory

    init() throws {
        directory = try TemporaryDirectory()
        try git("init -q -b main .; echo one >file; git add file; git commit -qm one")
    }

    @discardableResult
    private func git(_ script: String) throws -> String {
        try Command.shell(
            """
            export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=t GIT_AUTHOR_EMAIL=t@t
            export GIT_COMMITTER_NAME=t GIT_COMMITTER_EMAIL=t@t
            set -e
            git \(script)
            """,
            in: directory.path
        ).trimmingCharacters(in: .newlines)
    }

    private func commit(_ text: String) throws -> String {
        try git("commit -q --allow-empty -m \(text); git rev-parse HEAD")
    }

    /// Row K4.
    @Test(
        "Whom a signature is by is told by its key, and never by words that the signer chose",
        .enabled(if: access("/usr/bin/gpg", X_OK) == 0)
    )
    func signers() async throws {
        try directory.write(
            "#!/bin/sh\nGNUPGHOME=\(directory.path)/keys exec /usr/bin/gpg --batch \"$@\"\n",
            to: "gpg",
            mode: 0o755
        )
        func gpg(_ words: String) throws -> String {
            try Command.shell(
                "mkdir -p -m 700 keys; ./gpg --pinentry-mode loopback --passphrase '' \(words) 2>/dev/null",
                in: directory.path
            )
        }
        defer {
            _ = try? Command.shell("GNUPGHOME=keys gpgconf --kill gpg-agent", in: directory.path)
        }
        for name in ["Lead <lead@example.com>", "Eve <eve@example.com>"] {
            _ = try gpg("--quick-generate-key '\(name)' ed25519 sign never")
        }
        try git("config gpg.program \(directory.path)/gpg")
        func sign(_ tag: String, as key: String, sender: String? = nil) async throws
            -> TagSignature?
        {
            try directory.write(
                "#!/bin/sh\nGNUPGHOME=\(directory.path)/keys exec /usr/bin/gpg --batch \(sender.map { "--sender \($0)" } ?? "") \"$@\"\n",
                to: "gpg",
                mode: 0o755
            )
            try git("tag -s -u \(key) -m \(tag) \(tag)")
            switch try await GitRepository(containing: directory.path).signature(ofTag: tag) {
            case .success(let signature): return signature
            case .failure: return nil
            }
        }
        let lead = try #require(try await sign("v1", as: "lead@example.com"))
        #expect(
            lead.signers.contains("lead@example.com") && !lead.signers.contains("eve@example.com")
        )
        let forged = try #require(
            try await sign("v2", as: "eve@example.com", sender: "lead@example.com")
        )
        #expect(!forged.signers.contains("lead@example.com"), "\(forged)")
        #expect(forged.signers.contains("eve@example.com"))
        // A user ID that she adds to her own key is nobody's word once the keyring does not trust the key.
        _ = try gpg("--quick-add-uid eve@example.com 'Lead <lead@example.com>'")
        _ = try gpg(
            "--list-keys --with-colons eve@example.com | sed -n 's/^fpr:*\\([0-9A-F]*\\):.*/\\1:3:/p' | head -n 1 | ./gpg --import-ownertrust"
        )
        let renamed = try #require(try await sign("v3", as: "eve@example.com"))
        #expect(!renamed.signers.contains("lead@example.com"), "\(renamed)")
        let fingerprint = try gpg(
            "--list-keys --with-colons eve@example.com | sed -n 's/^fpr:*\\([0-9A-F]*\\):.*/\\1/p' | head -n 1"
        )
        #expect(
            renamed.signers.contains(fingerprint.trimmingCharacters(in: .newlines).lowercased())
        )
        // A tag that is called as the id of a signed one: the bare name would be that one.
        let signed = try git("rev-parse refs/tags/v1")
        try git("tag -m x other; git update-ref refs/tags/\(signed) refs/tags/other")
        let byName = try await GitRepository(containing: directory.path).signature(ofTag: signed)
        if case .success(let signature) = byName {
            #expect(Bool(false), "its signature was taken for another's: \(signature)")
        }
        try git("tag -m x v4")
        #expect(
            try await !{
                if case .success = try await GitRepository(containing: directory.path).signature(
                    ofTag: "v4"
                ) {
                    true
                } else {
                    false
                }
            }()
        )
    }

    /// Row K4.
    @Test("A principal with words around it is the whole of it")
    func principals() {
        let status =
            "Good \"git\" signature for dev with ED25519 key x <a@b> with ED25519 key SHA256:abc\n"
        let signature = TagSignature(status: status, listing: "")
        #expect(signature.signers == ["dev with ed25519 key x <a@b>", "sha256:abc"])
        #expect(
            TagSignature(
                status: "[GNUPG:] GOODSIG 1 lead@example.com\n",
                listing: "uid:f::::::::lead@example.com:\n"
            ).signers.isEmpty
        )
    }

    /// Row K4.
    @Test("A hotfix that was reverted is not there; one whose revert was reverted is")
    func revertedHotfix() async throws {
        try git("checkout -q -b fix; echo fixed >file; git add file; git commit -qm fix")
        let fix = try git("rev-parse HEAD")
        let plain = try commit("more")
        let repository = try await GitRepository(containing: directory.path)
        #expect(await repository.holds(fix, in: plain) == true)
        try git("revert --no-edit \(fix)")
        let reverted = try git("rev-parse HEAD")
        #expect(await repository.holds(fix, in: reverted) == false)
        try git("revert --no-edit \(reverted)")
        #expect(await repository.holds(fix, in: try git("rev-parse HEAD")) == true)
        // As `git revert --reference` writes it: with the first digits only.
        try git(
            "commit --allow-empty -qm 'Revert x' -m 'This reverts commit \(fix.prefix(7)) (x, 2026-01-01).'"
        )
        #expect(await repository.holds(fix, in: try git("rev-parse HEAD")) == false)
        try git("reset -q --hard HEAD~1")
        let other = fix.prefix(6) + (fix.dropFirst(6).first == "0" ? "1" : "0")
        try git(
            "commit --allow-empty -qm 'Revert y' -m 'This reverts commit \(other) (y, 2026-01-01).'"
        )
        #expect(await repository.holds(fix, in: try git("rev-parse HEAD")) == true)
        try git("reset -q --hard HEAD~1")
        // A copy of it on another line, and its revert there.
        try git("checkout -q main; git commit -q --allow-empty -m other; git cherry-pick \(fix)")
        let copy = try git("rev-parse HEAD")
        #expect(await repository.holds(fix, in: copy) == true)
        try git("revert --no-edit HEAD")
        #expect(await repository.holds(fix, in: try git("rev-parse HEAD")) == false)
        #expect(await repository.holds(fix, in: try git("rev-parse main~2")) == false)
        #expect(await repository.holds(String(repeating: "a", count: 40), in: copy) == nil)
    }
}
