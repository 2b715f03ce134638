/// Programs that hosts have under different names, or not at all, as shell text.
public enum HostTools {
    /// Programs that fleet's own scripts ask answer as their manuals say, whatever the account's
    /// environment would make of them: no other language, width, unit, colour, pager or default option.
    ///
    /// For fleet's own scripts only; what a playbook runs keeps the account's language.
    public static let surroundings = #"""
        unset LANGUAGE POSIXLY_CORRECT TAR_OPTIONS GREP_OPTIONS GREP_COLOR GREP_COLORS GZIP XZ_OPT \
            BLOCK_SIZE BLOCKSIZE DF_BLOCK_SIZE DU_BLOCK_SIZE LS_BLOCK_SIZE PS_FORMAT PS_PERSONALITY \
            COLUMNS LINES TIME_STYLE QUOTING_STYLE LS_COLORS SYSTEMD_LESS SYSTEMD_LOG_LEVEL
        LC_ALL=C PAGER=cat SYSTEMD_PAGER=cat SYSTEMD_COLORS=0 SYSTEMD_URLIFY=0
        export LC_ALL PAGER SYSTEMD_PAGER SYSTEMD_COLORS SYSTEMD_URLIFY

        """#

    /// Sets `sha` to a command that prints SHA-256s as coreutils does, a line `HASH  NAME` for each file:
    /// coreutils and busybox have it, Perl brings `shasum`, and where there is `openssl` its first 64
    /// characters are the same.
    ///
    /// To be used without quotes. `no_sha` prints why, and is true, where there is none.
    public static let sha256 = #"""
        sha=sha256sum
        command -v sha256sum >/dev/null 2>&1 || {
            sha='shasum -a 256'
            command -v shasum >/dev/null 2>&1 || sha='openssl dgst -sha256 -r'
        }
        no_sha() {
            ! command -v "${sha%% *}" >/dev/null 2>&1 &&
                echo "E_SHA256 neither sha256sum, shasum nor openssl is installed"
        }

        """#

    /// Sets `fleet_setsid` to a command that starts another one in a session of its own, so that it can
    /// be ended for certain, with everything it starts; empty where there is none.
    ///
    /// To be used without quotes: the words hold no space of their own, and Perl's and Python's programs
    /// no character that a shell would expand to a file's name.
    public static let setsid = #"""
        fleet_setsid=
        if command -v setsid >/dev/null 2>&1; then fleet_setsid=setsid
        elif command -v busybox >/dev/null 2>&1 && busybox setsid sh -c : 2>/dev/null; then
            fleet_setsid='busybox setsid'
        elif command -v perl >/dev/null 2>&1 && perl -MPOSIX -e 1 2>/dev/null; then
            fleet_setsid='perl -MPOSIX -e setsid;exec{$ARGV[0]}@ARGV'
        elif command -v python3 >/dev/null 2>&1; then
            fleet_setsid='python3 -I -c o=__import__("os");a=__import__("sys").argv;o.setsid();o.execvp(a[1],a[1:])'
        fi

        """#
}
