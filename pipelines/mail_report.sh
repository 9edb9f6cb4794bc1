#!/bin/sh
# For cron and systemd: makes the report anew and mails it with curl, in the folder that the load runs in.
#
#     sh pipelines/mail_report.sh mail.conf        # example.mail.conf, copied and filled in
#
# A step that fails ends it: no mail leaves, the error is on stderr, and the exit code is not 0. Everything is made in a
# folder that is gone afterwards, so the report of an earlier day is never mailed.
set -eu
mail=$(realpath -e "${1:?which file says how to mail? see pipelines/example.mail.conf}")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export TMPDIR="$folder"

.venv/bin/talkover report --out "$folder/report.html" --xlsx "$folder/report.xlsx" > "$folder/printed"
cd "$folder"
if grep -q '^form.*@report\.pdf' "$mail"; then
    # CHROMIUM may hold flags, such as `chromium --no-sandbox`. Where it cannot write, its exit code is 0 all the same.
    if ! timeout 5m ${CHROMIUM:-chromium} --headless --user-data-dir=profile --no-pdf-header-footer \
        --print-to-pdf=report.pdf report.html > chromium.txt 2>&1 || [ ! -s report.pdf ]; then
        tail -n 3 chromium.txt >&2
        echo "talkover: the report could not be printed as a PDF, so no mail was sent" >&2
        exit 1
    fi
fi
curl --silent --show-error --connect-timeout 30 --max-time 600 --config "$mail" \
    --header "Date: $(date -R)" --header "Message-ID: <$(date +%s).$$@$(uname -n)>"
