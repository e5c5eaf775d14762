# Judge the cloud, keep what was found in a folder that is this run's alone, and end as the gate did.
set -u
run=$HISTORY/runs/$(date -u +%Y%m%dT%H%M%SZ)-$HOSTNAME
mkdir -p "$run" || exit 3

seatrial gate "$@" --verdict "$run/verdict.json" --junit-xml "$run/junit.xml" \
  --alluredir "$WORK/allure" --evidence "$run/evidence" --history "$HISTORY/clouds" &
judging=$!
trap 'kill -TERM "$judging" 2>/dev/null' TERM INT
wait "$judging"
status=$?
while kill -0 "$judging" 2>/dev/null; do  # a signal ends the wait before the run has cleaned up
  wait "$judging"
  status=$?
done

if [ "$REPORT" = true ] && [ -e "$run/verdict.json" ]; then
  seatrial report "$WORK/allure" --out "$run/report.html" --trend "$HISTORY/trend.jsonl" \
    || echo "the report could not be built; the verdict stands" >&2
fi
ls -1d "$HISTORY"/runs/*/ | sort | head -n "-$KEEP" | while read -r old; do rm -rf "$old"; done
echo "kept in $run; the gate's exit status is $status"
exit "$status"
