internal import HTTPTypes

extension HTTPField.Name {
    /// `Last-Event-ID`.
    static let lastEventID = known("Last-Event-ID")
    /// `X-Accel-Buffering`.
    static let accelBuffering = known("X-Accel-Buffering")
    /// `Content-Security-Policy`.
    static let securityPolicy = known("Content-Security-Policy")
    /// `Referrer-Policy`.
    static let referrerPolicy = known("Referrer-Policy")
    /// `Cross-Origin-Opener-Policy`.
    static let openerPolicy = known("Cross-Origin-Opener-Policy")
    /// `X-Frame-Options`.
    static let frameOptions = known("X-Frame-Options")
    /// `X-Forwarded-For`.
    static let forwardedFor = known("X-Forwarded-For")
    /// `Sec-Fetch-Site`.
    static let fetchSite = known("Sec-Fetch-Site")

    /// A header's name that stands in this program.
    static func known(_ name: String) -> HTTPField.Name {
        guard let found = HTTPField.Name(name) else {
            preconditionFailure("`\(name)` is no header's name")
        }
        return found
    }
}
