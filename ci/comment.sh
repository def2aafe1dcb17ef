#!/usr/bin/env bash
# Show a Markdown file in GitHub's summary of the run, and as a comment on the pull request NUMBER, if there is one and a
# token in GH_TOKEN: the comment that begins with the file's first line is updated, else one is made.
#
#   ci/comment.sh FILE
set -euo pipefail

file=${1:?"usage: ci/comment.sh FILE"}
[[ -s $file ]] || exit 0 # the command failed before it had an answer
cat "$file" >>"$GITHUB_STEP_SUMMARY"
if [[ -z ${NUMBER-} || -z ${GH_TOKEN-} ]]; then exit 0; fi

comments=repos/$GITHUB_REPOSITORY/issues/$NUMBER/comments
MARK=$(head -n 1 "$file")
export MARK
# A pull request from a fork has a token that may not write, and its check shall say what the revisions do, not that.
{
    id=$(gh api --paginate "$comments" --jq '.[] | select(.body | startswith(env.MARK)) | .id' | sed -n 1p) &&
        if [[ -n $id ]]; then
            gh api --silent --method PATCH "repos/$GITHUB_REPOSITORY/issues/comments/$id" --field "body=@$file"
        else
            gh api --silent "$comments" --field "body=@$file"
        fi
} || echo "::warning::The comment could not be written; the same text is in the summary of this run."
