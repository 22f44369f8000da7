trap 'echo asked' TERM
sleep 1000 &
echo $$ > target
touch ready
while true; do wait; done
