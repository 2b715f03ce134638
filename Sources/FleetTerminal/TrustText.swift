package import FleetOperations
package import FleetReport
internal import FleetSSH
internal import FleetTransport

/// What `fleet trust` shows before it asks.
package struct TrustText {
    private let style: Style

    /// Chooses how it looks.
    package init(style: Style) { self.style = style }

    /// What the project's files would do here, what is no longer among it, and what CI is told.
    package func lines(of agreement: FileAgreement) -> [String] {
        agreement.values.map { text, file, isKnown in
            "\(isKnown ? "  " : style.green("+ "))\(Sanitizer.line(text))  (\(Sanitizer.line(file)))"
        }
            + agreement.gone.map { style.red("- ") + Sanitizer.line($0) }
            + agreement.invalidFiles.map {
                "\(style.yellow("not looked at:")) \(Sanitizer.line($0)) is not valid: fleet check"
            }
            + [
                agreement.values.isEmpty
                    ? "the project's files do nothing on this machine"
                    : "for CI: --trusted-files \(agreement.digest)"
            ]
    }

    /// The key of each host, as a table.
    package func lines(of keys: CollectedKeys) -> [String] {
        let rows = keys.found.map { host, result in
            switch result {
            case .success(nil): [host.text, "known", "this machine itself"]
            case .success(let key?):
                switch key.standing {
                case .known: [host.text, "known", key.fingerprint]
                case .new: [host.text, "new", key.fingerprint]
                case .changed(let known, let place):
                    [host.text, "CHANGED", "\(key.fingerprint); known is \(known) at \(place)"]
                case .revoked(let place):
                    [host.text, "REVOKED", "\(key.fingerprint) at \(place)"]
                }
            case .failure(let error):
                [host.text, "not seen", "\(error.token): \(Sanitizer.line(error.message))"]
            }
        }
        let header = ["host", "key", "fingerprint"]
        return Table.lines(header: header, rows: rows, style: style, indent: "")
    }

    /// What to do about keys that are not the known ones, a line each.
    package func warnings(about keys: CollectedKeys) -> String {
        keys.refused.map { host, key in
            switch key.standing {
            case .revoked(let place):
                "\(host): its key was revoked (\(place)): give the host a new key, then run `fleet trust` again; "
                    + "whoever has the revoked one may be between you and it\n"
            case .changed(_, let place):
                "\(host): if it was rebuilt, remove the line at \(place) yourself and run "
                    + "`fleet trust` again; otherwise someone may be between you and it\n"
            case .known, .new: ""
            }
        }.joined()
    }

    /// What is said when new keys were kept.
    package func remembered(_ count: Int) -> String {
        count == 1 ? "1 key remembered" : "\(count) keys remembered"
    }
}
