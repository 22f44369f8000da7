sleep 1000 &
echo $$ > target
touch ready
wait
