extension ReportPage {
    /// How a report looks.
    ///
    /// Blue, orange and dark red can be told apart by most colour-blind people (Okabe and Ito); bars that are bad or go
    /// back have a pattern as well. Text has a contrast of at least 4.5 to 1 on its ground in both schemes.
    static let style = """
        :root{--bg:#fff;--fg:#1b1f24;--dim:#57606a;--line:#d5dae0;--soft:#f4f6f8;--good:#116329;--warn:#8a4600;--bad:#a40e26;--step:#2f6fb0;--check:#7fb2dd;--wait:#aab4bf;--back:#e08a00;--badfill:#b3202f;--hatch:#fff9}
        @media(prefers-color-scheme:dark){:root{--bg:#14181d;--fg:#e4e8ec;--dim:#9aa5b1;--line:#343c45;--soft:#1d2329;--good:#57c26f;--warn:#f0a84a;--bad:#ff8182;--step:#4d94dd;--check:#2e5f90;--wait:#59636e;--back:#c77c00;--badfill:#e5484d;--hatch:#0007}}
        *{box-sizing:border-box}
        body{margin:0 auto;max-width:72rem;padding:1rem;background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
        header{border-left:.4rem solid var(--line);padding:.2rem 1rem .6rem;background:var(--soft);border-radius:0 .4rem .4rem 0}
        header.good{border-color:var(--good)}header.warn{border-color:var(--warn)}header.bad{border-color:var(--badfill)}
        .verdict{margin:.5rem 0 0;color:var(--dim)}.verdict b{font-size:1.05rem;text-transform:uppercase;letter-spacing:.04em}
        header.good b{color:var(--good)}header.warn b{color:var(--warn)}header.bad b{color:var(--bad)}
        h1{font-size:1.45rem;line-height:1.3;margin:.2rem 0 .8rem;font-weight:600}
        h2{font-size:1.1rem;margin:2rem 0 .6rem;padding-bottom:.2rem;border-bottom:1px solid var(--line)}
        h3{font-size:1rem;margin:0}h3 small{font-weight:400;color:var(--dim)}
        dl{display:flex;flex-wrap:wrap;gap:.3rem 2rem;margin:0}dl div{min-width:0}dt{font-size:.75rem;color:var(--dim)}dd{margin:0}
        .note{margin:.6rem 0 0;color:var(--warn)}
        .scroll{overflow-x:auto}
        table{border-collapse:collapse;width:100%;font-size:.9rem;overflow-wrap:normal}
        th,td{text-align:left;padding:.25rem .7rem .25rem 0;border-bottom:1px solid var(--line);vertical-align:top;font-variant-numeric:tabular-nums}
        thead th{color:var(--dim);font-weight:500}tbody th{font-weight:500;min-width:5.5rem}table.hosts tbody th{min-width:0}
        td.good{color:var(--good)}td.bad{color:var(--bad)}
        .failure{border:1px solid var(--line);border-left:.3rem solid var(--badfill);border-radius:.3rem;padding:.6rem .9rem;margin:0 0 .8rem}
        .cause{margin:.3rem 0;font-family:ui-monospace,monospace;font-size:.9rem;color:var(--bad)}
        .next{margin:.4rem 0 0;color:var(--dim)}
        pre{background:var(--soft);padding:.7rem;margin:.4rem 0 0;overflow-x:auto;font:12.5px/1.45 ui-monospace,monospace;max-height:28rem;white-space:pre}
        summary{cursor:pointer;color:var(--dim)}summary:focus-visible{outline:2px solid var(--step)}
        .course{list-style:none;padding:0;margin:.8rem 0 0}.course li{padding:.1rem 0 .1rem 5rem;text-indent:-5rem}.course time{display:inline-block;width:5rem;text-indent:0;color:var(--dim);font-variant-numeric:tabular-nums}
        svg[viewBox]{width:100%;min-width:44rem;height:auto;display:block}svg text{fill:var(--fg);font:11px system-ui,sans-serif}svg .axis,svg .mbatch{fill:var(--dim);font-size:10px}svg .mhalt{fill:var(--bad);font-weight:600}svg .mdecision{fill:var(--warn);font-weight:600}
        .tick{stroke:var(--line)}.batch{stroke:var(--dim);stroke-dasharray:2 3}.halt{stroke:var(--badfill);stroke-width:2}.decision{stroke:var(--back);stroke-width:1.5}
        rect.step{fill:var(--step)}rect.check{fill:var(--check)}rect.wait{fill:var(--wait)}rect.bad{fill:url(#hx) var(--badfill)}rect.back{fill:url(#hb) var(--back)}rect.open{fill:none;stroke:var(--dim);stroke-dasharray:3 2}
        .badfill{fill:var(--badfill)}.backfill{fill:var(--back)}.hatch{stroke:var(--hatch);stroke-width:1.5;fill:none}
        .legend{color:var(--dim);font-size:.85rem;margin:.3rem 0}.legend span{margin-right:1rem}
        .spark{display:block;margin:.3rem 0}
        footer{margin-top:2.5rem;padding-top:.6rem;border-top:1px solid var(--line);color:var(--dim);font-size:.8rem}
        @media(max-width:40rem){body{padding:.6rem;font-size:14px}h1{font-size:1.2rem}.course li{padding-left:4rem;text-indent:-4rem}.course time{width:4rem}}
        @media print{body{max-width:none;font-size:10pt}table.hosts{font-size:7pt}table.hosts th,table.hosts td{padding-right:.25rem}pre{max-height:none;white-space:pre-wrap}.scroll{overflow:visible}svg[viewBox]{min-width:0}section{break-inside:auto}article,tr{break-inside:avoid}details::details-content{content-visibility:visible;block-size:auto}}
        """
}
