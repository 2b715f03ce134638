/// What git says of a signature that it accepts, in words made for programs.
///
/// What gpg writes for people holds words of the signer's own: the user IDs of a key are whatever its owner wrote,
/// and a signature may name any sender. So a key counts by its fingerprint, and by those addresses of its user IDs
/// that this machine's keyring calls valid; with SSH keys by the principal of the allowed signers' file.
public struct TagSignature: Sendable, Hashable {
    /// One line for people.
    public let text: String
    /// Fingerprints, key IDs, principals and addresses that may stand for the signer, in lower case.
    public let signers: Set<String>

    /// A key's fingerprint and that of its primary key, from gpg's status lines (doc/DETAILS of GnuPG, `VALIDSIG`).
    static func fingerprints(in status: String) -> [String] {
        for line in status.split(whereSeparator: \.isNewline) {
            let words = line.split(separator: " ")
            guard words.count > 3, words[0] == "[GNUPG:]", words[1] == "VALIDSIG" else { continue }
            return [String(words[2]), String(words[words.count - 1])]
        }
        return []
    }

    /// The same of an SSH signature: `Good "git" signature for PRINCIPAL with ED25519 key SHA256:…` (ssh-keygen(1)).
    static func principal(in status: String) -> (name: String, key: String)? {
        let opening = "Good \"git\" signature for "
        for line in status.split(whereSeparator: \.isNewline) where line.hasPrefix(opening) {
            let rest = line.dropFirst(opening.count)
            guard let end = rest.ranges(of: " with ").last else { continue }
            let key = rest[end.upperBound...].split(separator: " ").last.map(String.init) ?? ""
            return (String(rest[..<end.lowerBound]), key)
        }
        return nil
    }

    /// Addresses of user IDs that the keyring calls fully or ultimately valid (doc/DETAILS, `uid` records).
    static func addresses(in listing: String) -> [String] {
        listing.split(whereSeparator: \.isNewline).compactMap { line -> String? in
            let fields = line.split(separator: ":", omittingEmptySubsequences: false)
            guard fields.count > 9, fields[0].elementsEqual("uid"),
                ["u", "f"].contains(String(fields[1]))
            else {
                return nil
            }
            let name = String(fields[9]).replacing("\\x3a", with: ":")
            guard let open = name.lastIndex(of: "<"), name.hasSuffix(">") else { return name }
            return String(name[name.index(after: open)...].dropLast())
        }
    }

    init(status: String, listing: String) {
        if let (name, key) = Self.principal(in: status) {
            text = "\(name) (\(key))"
            signers = [name.lowercased(), key.lowercased()]
            return
        }
        let keys = Self.fingerprints(in: status)
        let addresses = Self.addresses(in: listing)
        let names =
            addresses.isEmpty
            ? "no user ID that this keyring calls valid" : addresses.joined(separator: ", ")
        text = keys.first.map { "key \($0) (\(names))" } ?? "nobody that git names"
        signers = Set(
            (keys + keys.map { String($0.suffix(16)) } + (keys.isEmpty ? [] : addresses))
                .map { $0.lowercased() }
        )
    }
}
