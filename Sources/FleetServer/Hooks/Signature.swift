internal import FleetServing
internal import FoundationEssentials
internal import HTTPTypes

/// Verifies that a delivery comes from whoever has the hook's secret: by the raw body, in constant time.
struct Signature: Sendable {
    let hook: Hook
    let secrets: [String]

    /// How far the time that a sender signs may be from ours, in milliseconds: what Standard Webhooks recommends.
    static let toleranceMilliseconds = 300_000

    /// What a verified delivery is called: the same when it is sent again.
    struct Verified: Sendable, Hashable {
        /// Its name.
        let name: String
        /// The provider's word for what happened; nil if the body says it.
        let event: String?
    }

    /// Verifies a delivery.
    ///
    /// - Parameters:
    ///   - body: The body, byte by byte as it arrived.
    ///   - headers: The headers.
    ///   - now: The time, in milliseconds since 1970.
    /// - Returns: What it is called; nil if no secret has signed it.
    func verify(_ body: [UInt8], _ headers: HTTPFields, at now: Int) -> Verified? {
        switch hook.provider {
        case .github:
            return signed(
                body,
                headers,
                ["X-Hub-Signature-256"],
                prefix: "sha256=",
                event: "X-GitHub-Event",
                id: "X-GitHub-Delivery"
            )
        case .gitea:
            return signed(
                body,
                headers,
                ["X-Gitea-Signature"],
                prefix: "",
                event: "X-Gitea-Event",
                id: "X-Gitea-Delivery"
            )
        case .forgejo:
            return signed(
                body,
                headers,
                ["X-Forgejo-Signature", "X-Gitea-Signature"],
                prefix: "",
                event: headers[.known("X-Forgejo-Event")] == nil
                    ? "X-Gitea-Event" : "X-Forgejo-Event",
                id: headers[.known("X-Forgejo-Delivery")] == nil
                    ? "X-Gitea-Delivery" : "X-Forgejo-Delivery"
            )
        case .gitlab:
            // A hook that was set up to be signed does not take the weaker proof.
            if hook.acceptsToken { return token(body, headers) }
            return standard(body, headers, at: now)
        case .standard: return standard(body, headers, at: now)
        }
    }

    /// The only value of a header; nil if there is none, it is empty, or there are several.
    private func only(_ name: String, _ headers: HTTPFields) -> String? {
        let values = headers[values: .known(name)]
        return values.count == 1 && !values[0].isEmpty ? values[0] : nil
    }

    /// An HMAC-SHA256 of the body in hex, as GitHub, Gitea and Forgejo send it.
    private func signed(
        _ body: [UInt8],
        _ headers: HTTPFields,
        _ names: [String],
        prefix: String,
        event: String,
        id: String
    ) -> Verified? {
        // Every secret is tried for every signature, so that the time tells nothing.
        var isGood = false
        for name in names {
            let text = only(name, headers) ?? ""
            let given =
                text.hasPrefix(prefix)
                ? Secrets.bytes(hex: String(text.dropFirst(prefix.count))) ?? [] : []
            for secret in secrets where !secret.isEmpty {
                let right = Secrets.areEqual(given, Secrets.hmac(body, key: Array(secret.utf8)))
                isGood = isGood || right
            }
        }
        guard isGood else { return nil }
        return Verified(name: name(only(id, headers), body), event: only(event, headers))
    }

    /// The id is not signed, so that somebody who replays a body can choose it; who sends none gets the body's hash.
    private func name(_ id: String?, _ body: [UInt8]) -> String {
        guard let id, id.utf8.count <= 200 else {
            return "sha256:" + Secrets.hash(String(decoding: body, as: UTF8.self))
        }
        return id
    }

    /// GitLab's `X-Gitlab-Token`: the secret itself.
    private func token(_ body: [UInt8], _ headers: HTTPFields) -> Verified? {
        let given = only("X-Gitlab-Token", headers) ?? ""
        var isGood = false
        for secret in secrets {
            let right = Secrets.areEqual(given, secret)
            isGood = isGood || right
        }
        guard isGood else { return nil }
        // `X-Gitlab-Event-UUID` is shared by hooks that cause each other; `Idempotency-Key` is the delivery's own.
        let id = only("Idempotency-Key", headers)
        return Verified(name: name(id, body), event: only("X-Gitlab-Event", headers))
    }

    /// As the specification has it.
    ///
    /// https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    private func standard(_ body: [UInt8], _ headers: HTTPFields, at now: Int) -> Verified? {
        let id = only("webhook-id", headers) ?? ""
        let time = only("webhook-timestamp", headers) ?? ""
        let list = only("webhook-signature", headers) ?? ""
        let signed = Array("\(id).\(time).".utf8) + body
        var isGood = false
        for secret in secrets {
            guard let key = Self.key(secret) else { continue }
            let right = Secrets.hmac(signed, key: key)
            for part in list.split(separator: " ").prefix(10) where part.hasPrefix("v1,") {
                let given = Data(base64Encoded: String(part.dropFirst(3))).map { Array($0) } ?? []
                let isRight = Secrets.areEqual(given, right)
                isGood = isGood || isRight
            }
        }
        guard isGood, !id.isEmpty, id.utf8.count <= 200, let seconds = Int(time),
            // No subtraction: a time can be any number.
            ((now - Self.toleranceMilliseconds) / 1000...(now + Self.toleranceMilliseconds) / 1000)
                .contains(seconds)
        else { return nil }
        return Verified(name: id, event: only("X-Gitlab-Event", headers))
    }

    /// The key behind `whsec_…`; a secret without that prefix is the key's base64, or else the key itself.
    private static func key(_ secret: String) -> [UInt8]? {
        let text = secret.hasPrefix("whsec_") ? String(secret.dropFirst(6)) : secret
        if let data = Data(base64Encoded: text), data.count >= 16 { return Array(data) }
        return secret.hasPrefix("whsec_") || secret.isEmpty ? nil : Array(secret.utf8)
    }
}
