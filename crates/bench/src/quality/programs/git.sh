# git: a repository, its history, a clone without a network, and what goes wrong.
export HOME=$PWD GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@x GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@x GIT_TERMINAL_PROMPT=0
git=/usr/bin/git
commit() { echo "$1" > "$2"; $git add "$2"; $git commit -q -m "$1"; }
main() {
  $git config --global init.defaultBranch main
  $git init -q r; cd r
  commit one a; commit two b; mkdir d; commit three d/c
  case $1 in
  1) $git log --oneline > /dev/null; $git status > /dev/null; $git diff HEAD~1 > /dev/null; cd ..; $git clone -q r c; cd c; $git checkout -q -b x; commit four e; $git push -q origin x; cd ../r; $git merge -q x; $git show --stat > /dev/null ;;
  2) $git gc -q; $git fsck > /dev/null 2>&1; $git tag -a -m t v1; $git stash -q 2> /dev/null || true; echo z > a; $git stash -q; $git stash pop -q; $git commit -q -am five; cd ..; $git clone -q --bare r b.git; $git clone -q --no-local b.git n; cd n; $git fetch -q; $git pull -q; $git grep -q one -- . || true; $git blame a > /dev/null; $git archive HEAD > ../x.tar ;;
  3) $git checkout -q -b side HEAD~1; commit other a; $git merge -q main > /dev/null 2>&1 || true; $git checkout -q main; commit mine a; $git merge side > /dev/null 2>&1 || $git merge --abort; $git rebase -q side > /dev/null 2>&1 || $git rebase --abort
     $git clone -q /nonexistent ../q 2> /dev/null || true; $git nonsense 2> /dev/null || true; $git mv b b2; $git rm -q d/c; $git reset -q --hard; $git clean -fdq; $git bisect start -q 2> /dev/null || true; $git reflog > /dev/null; $git cherry-pick side > /dev/null 2>&1 || $git cherry-pick --abort > /dev/null 2>&1 || true ;;
  held) cd ..; $git clone -q r w; cd w; commit more f; $git push -q origin HEAD:refs/heads/y; cd ../r; $git merge -q y; $git checkout -q -b z HEAD~2; commit clash a; $git merge main > /dev/null 2>&1 || { echo both > a; $git add a; $git commit -q -m merged; }
     $git rebase -q main > /dev/null 2>&1 || $git rebase --abort; $git gc -q --aggressive; cd ../w; $git pull -q; $git log --graph --stat > /dev/null; $git checkout -q nothing 2> /dev/null || true; cd ..; $git clone -q --depth 1 "file://$PWD/r" s; $git -C s fsck > /dev/null 2>&1; $git -C s status -s > /dev/null ;;
  esac
}
